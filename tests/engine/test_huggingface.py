"""The folder for transformers, against transformers itself."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from engine import Checkpoint, Model, Sampling, open_source, write_gguf, write_huggingface
from tests.engine.test_logits import gpt_2_simple


@pytest.fixture(scope="module")
def exported(run1: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed checkpoint."""
    folder = tmp_path_factory.mktemp("huggingface") / "run1-hf"
    write_huggingface(Checkpoint(run1), folder)
    return folder


def test_the_logits_are_ours_and_gpt_2_simples(exported: Path, run1: Path, tmp_path: Path) -> None:
    model, loading = transformers.GPT2LMHeadModel.from_pretrained(
        exported, output_loading_info=True
    )
    assert not any(loading.values()), loading  # missing or unexpected tensors
    tokens = np.random.default_rng(0).integers(
        0, Checkpoint(run1).hparams.n_vocab, (2, 200), dtype=np.int32
    )
    with torch.no_grad():
        theirs = model(torch.from_numpy(tokens).long()).logits.numpy()
    engine = Model.load(run1, weights="f32")
    ours = np.stack([np.asarray(engine.logits(row.tolist())) for row in tokens])
    bound = 1e-5 * np.abs(ours).max()
    assert np.abs(theirs - ours).max() < bound
    assert np.abs(theirs - gpt_2_simple(run1, tokens, tmp_path)).max() < bound


def test_a_model_of_another_shape(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """And by the way of GGUF: the same folder."""
    write_huggingface(Checkpoint(tiny_checkpoint), tmp_path / "hf")
    write_gguf(Checkpoint(tiny_checkpoint), tmp_path / "tiny.gguf", "f32")
    write_huggingface(open_source(tmp_path / "tiny.gguf"), tmp_path / "hf2")
    for file in (tmp_path / "hf").iterdir():
        other = (tmp_path / "hf2" / file.name).read_bytes()
        if file.suffix == ".json":  # tokens may be listed in another order
            assert json.loads(other) == json.loads(file.read_text())
        else:
            assert other == file.read_bytes()
    model = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "hf")
    tokens = list(range(5, 200))
    with torch.no_grad():
        theirs = model(torch.tensor([tokens])).logits[0].numpy()
    ours = np.asarray(Model.load(tiny_checkpoint, weights="f32").logits(tokens))
    assert np.abs(theirs - ours).max() < 1e-5 * np.abs(ours).max()


def test_the_tokens_are_ours(exported: Path, run1: Path) -> None:
    """But for the special token, which transformers finds in a text and we take for text."""
    ours = Model.load(run1).tokenizer
    theirs = transformers.AutoTokenizer.from_pretrained(exported)
    white = st.sampled_from([" ", "  ", "\n", "\t", "\u00a0", "\x85", "'s", "'ll", "12", "the"])
    # Unassigned characters may be letters in a later Unicode, and each library has its own.
    known = st.characters(codec="utf-8", exclude_categories=["Cn"])
    texts = st.text(known) | st.lists(white | known, max_size=30).map("".join)

    @settings(max_examples=500)
    @given(texts)
    @example("Wren's   don't\n\n  we'll \n")
    @example("🦦e\u0301 ポケモン ½ ٣ \x1c \u200b")
    def check(text: str) -> None:
        assume("<|endoftext|>" not in text)
        ids = ours.encode(text)
        assert theirs(text)["input_ids"] == ids
        assert theirs.decode(ids) == text

    check()
    end = ours.end_of_text
    assert theirs("a<|endoftext|>b")["input_ids"] == [*ours.encode("a"), end, *ours.encode("b")]
    assert theirs.bos_token_id == theirs.eos_token_id == end
    assert theirs.model_max_length == 1024


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_transformers_goes_on_as_we_do(exported: Path, run1: Path, penalty: float) -> None:
    """32 tokens of its own greedy search, with the settings that the folder holds."""
    model = transformers.GPT2LMHeadModel.from_pretrained(exported)
    engine = Model.load(run1, weights="f32")
    end = engine.tokenizer.end_of_text
    assert model.generation_config.eos_token_id == end
    prompt = [end, *engine.tokenizer.encode("Wren and Fizzlet")]
    theirs = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt)),
        max_new_tokens=32,
        do_sample=False,
        repetition_penalty=penalty,
        pad_token_id=end,
    )
    how = Sampling(temperature=0, repetition_penalty=penalty)
    ours = list(engine.submit(prompt, length=32, sampling=how, seed=0))
    assert theirs[0, len(prompt) :].tolist() == ours


def test_an_interrupted_export_leaves_nothing(run1: Path, tmp_path: Path) -> None:
    def interrupted(data: Any) -> Any:
        yield next(iter(data))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_huggingface(Checkpoint(run1), tmp_path / "hf", progress=interrupted)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_keeps_its_other_files(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    for name in ("config.json", "README.md"):
        (tmp_path / name).write_text("mine")
    write_huggingface(Checkpoint(tiny_checkpoint), tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"
    assert json.loads((tmp_path / "config.json").read_text())["n_embd"] == 48
    assert not list(tmp_path.parent.glob(f".{tmp_path.name}.*"))
