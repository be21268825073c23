"""GPT-2 as a folder that Hugging Face's transformers loads.

The weights are a safetensors file: a length, a JSON header, then the raw tensors
(https://github.com/huggingface/safetensors#format). It is written here and not by the library,
which takes all tensors at once.
"""

import json
from collections.abc import Callable, Iterable
from math import prod
from pathlib import Path

from engine.checkpoint import HParams, tensors
from engine.files import write_aside, write_folder_aside
from engine.source import Source
from engine.tokenizer import END_OF_TEXT, Tokenizer, Vocabulary, compile_vocabulary


def write_huggingface(
    source: Source,
    folder: Path,
    *,
    progress: Callable[[Iterable[bytearray]], Iterable[bytearray]] = iter,
) -> None:
    """Writes a model in float32 for `GPT2LMHeadModel` and `AutoTokenizer`.

    In a folder that is there already, the files of the same names are replaced; nothing is
    touched before all are complete. progress: wraps the iteration over the tensors. Holds about one
    tensor in memory. Raises CheckpointError for a broken source, and OSError.
    """
    hp, vocabulary = source.hparams, source.read_vocabulary()
    end_of_text = Tokenizer(compile_vocabulary(vocabulary)).end_of_text
    ends = {"bos_token_id": end_of_text, "eos_token_id": end_of_text}
    documents = {
        "config.json": _config(hp) | ends,
        "generation_config.json": {"_from_model_config": True} | ends,
        "tokenizer.json": _tokenizer(vocabulary),
        "tokenizer_config.json": _tokenizer_config(hp),
        "vocab.json": vocabulary.ids,
    }
    with write_folder_aside(folder) as aside:
        for name, content in documents.items():
            text = json.dumps(content, ensure_ascii=False, indent=2)
            (aside / name).write_text(text + "\n", encoding="utf-8")
        merges = "".join(f"{left} {right}\n" for left, right in vocabulary.merges)
        (aside / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")
        _write_safetensors(aside / "model.safetensors", hp, progress(source.read_tensors()))


def _write_safetensors(path: Path, hp: HParams, data: Iterable[bytearray]) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in tensors(hp):
        size = 4 * prod(shape)
        header[_renamed(name)] = {
            "dtype": "F32",
            "shape": shape[-2:],  # without a convolution's leading 1
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with write_aside(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.writelines(data)


def _renamed(name: str) -> str:
    """transformers' name of a tensor: model/h0/ln_1/g -> transformer.h.0.ln_1.weight."""
    parts = name.split("/")[1:]
    if parts[0].startswith("h"):
        parts[:1] = ["h", parts[0].removeprefix("h")]
    endings = {"g": ["weight"], "w": ["weight"], "b": ["bias"]}
    parts[-1:] = endings.get(parts[-1], [parts[-1], "weight"])
    return ".".join(["transformer", *parts])


def _config(hp: HParams) -> dict[str, object]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": hp.n_vocab,
        "n_positions": hp.n_ctx,
        "n_embd": hp.n_embd,
        "n_head": hp.n_head,
        "n_layer": hp.n_layer,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
    }


def _tokenizer(vocabulary: Vocabulary) -> dict[str, object]:
    """tokenizer.json, the file of the tokenizers library."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": vocabulary.ids[token],
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for token in sorted(vocabulary.special, key=vocabulary.ids.__getitem__)
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level | {"use_regex": True},
        "post_processor": byte_level | {"use_regex": True},
        "decoder": byte_level | {"use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": vocabulary.ids,
            "merges": vocabulary.merges,
        },
    }


def _tokenizer_config(hp: HParams) -> dict[str, object]:
    return {
        "tokenizer_class": "GPT2Tokenizer",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "unk_token": END_OF_TEXT,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": hp.n_ctx,
    }
