"""vocabulary: GPT-2's file format, read back by gpt-2-simple's own encoder."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from engine import HParams, Vocabulary, write_model_files
from training import vocabulary

SHAPE = HParams(n_vocab=0, n_ctx=4, n_embd=2, n_head=1, n_layer=1)


@pytest.fixture(scope="module")
def learned(documents: list[str]) -> Vocabulary:
    return vocabulary.learn(documents, 400)


@pytest.fixture(scope="module")
def folder(learned: Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vocabulary")
    write_model_files(SHAPE, learned, path)
    return path


@pytest.fixture(scope="module")
def peer(learned: Vocabulary) -> Tokenizer:
    tokenizer = Tokenizer(BPE(learned.ids, learned.merges))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    return tokenizer


@pytest.fixture(scope="module")
def gpt2_encoder(folder: Path) -> object:
    from gpt_2_simple.src import encoder

    return encoder.get_encoder(str(folder))


def test_layout_is_gpt2s(folder: Path) -> None:
    from gpt_2_simple.src.encoder import bytes_to_unicode

    encoder = json.loads((folder / "encoder.json").read_text(encoding="ascii"))
    tokens = list(encoder)
    assert list(encoder.values()) == list(range(len(encoder)))
    assert tokens[:256] == list(bytes_to_unicode().values())
    assert tokens[-1] == "<|endoftext|>"
    lines = (folder / "vocab.bpe").read_text(encoding="utf-8").split("\n")
    assert lines[0] == "#version: 0.2"
    assert lines[-1] == ""
    assert [line.replace(" ", "") for line in lines[1:-1]] == tokens[256:-1]


def test_size_is_as_asked_or_as_much_as_the_corpus_gives(documents: list[str]) -> None:
    assert len(vocabulary.learn(documents, 300).ids) == 300
    assert 257 < len(vocabulary.learn(documents, 50_000).ids) < 1000
    assert len(vocabulary.learn(["x"], 4096).ids) == 257


def test_learning_twice_gives_the_same(documents: list[str], learned: Vocabulary) -> None:
    assert vocabulary.learn(documents, 400) == learned


@given(st.text())
def test_any_text_survives_gpt2_simples_encoder(gpt2_encoder: object, text: str) -> None:
    assert gpt2_encoder.decode(gpt2_encoder.encode(text)) == text


@given(
    st.lists(
        st.sampled_from(["Wren", " Ash", "'s", " can't", "café", " 12", "\n\n", "  ", "\t", "🦊!"])
        | st.text(st.characters(max_codepoint=0x2FFF), max_size=8)
    ).map("".join)
)
def test_gpt2_simples_encoder_agrees_with_tokenizers(
    gpt2_encoder: object, peer: Tokenizer, text: str
) -> None:
    assert gpt2_encoder.encode(text) == peer.encode(text).ids
