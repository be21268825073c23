"""GGUF files: ours against the gguf package and llama.cpp, theirs and a stranger's against us."""

import json
import shutil
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine import (
    Checkpoint,
    CheckpointError,
    GgufModel,
    GgufType,
    Model,
    Sampling,
    signature,
    write_gguf,
)
from engine._native import lib
from engine.checkpoint import tensors
from engine.tokenizer import compile_vocabulary
from tests.conftest import ROOT

Array = NDArray[Any]


@pytest.fixture(scope="module")
def exported(run1: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed checkpoint as Q8_0."""
    path = tmp_path_factory.mktemp("exported") / "run1.gguf"
    write_gguf(Checkpoint(run1), path, "q8_0")
    return path


def logits(path: Path, **how: Any) -> bytes:
    model = Model.load(path, **how)
    return bytes(model.logits([i * 7 % model.hparams.n_vocab for i in range(40)]))


# ---- The tensor types -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Type.F32, Type.F16, Type.BF16, Type.Q4_0, Type.Q6_K, Type.Q8_0])
def test_every_type_is_read_as_the_gguf_package_reads_it(kind: Type) -> None:
    block, size = gguf.GGML_QUANT_SIZES[kind]
    data = np.random.default_rng(1).integers(0, 256, 500 * size, dtype=np.uint8)
    with np.errstate(invalid="ignore"):  # a scale may be infinite
        expected = gguf.quants.dequantize(data.reshape(500, size), kind).ravel().astype(np.float32)
    out = np.empty(500 * block, np.float32)
    assert lib.gpt2_ggml_to_f32(kind, data.tobytes(), out.size, out.ctypes.data) == 0
    assert np.array_equal(out, expected, equal_nan=True)
    assert kind not in (Type.F16, Type.Q8_0) or not np.isfinite(out).all()  # those were there too


@pytest.mark.parametrize("kind", [Type.F32, Type.F16, Type.Q8_0])
def test_every_type_is_written_as_the_gguf_package_writes_it(kind: Type) -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(500, 32)) * np.logspace(-4, 4, 500)[:, None]
    values[3] = 0
    values[4] = np.arange(-16, 16) * 127 / 32  # many halves to round
    values = values.astype(np.float32)
    expected = gguf.quants.quantize(values, kind).tobytes()
    out = np.empty(len(expected), np.uint8)
    assert lib.gpt2_ggml_from_f32(kind, values.ctypes.data, values.size, out.ctypes.data) == 0
    assert out.tobytes() == expected


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (32, 32), (33, 100), (100, 31)])
def test_transposing(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    out = np.empty(shape[::-1], np.float32)
    lib.gpt2_transpose(values.ctypes.data, *shape, out.ctypes.data)
    assert np.array_equal(out, values.T)


# ---- What we write --------------------------------------------------------------------------


def test_q8_0_holds_what_the_engine_computes_with(exported: Path, run1: Path) -> None:
    assert logits(exported) == logits(run1)
    text = [list(Model.load(path).submit([1, 5], length=60, seed=9)) for path in (exported, run1)]
    assert text[0] == text[1]


@pytest.mark.parametrize(("kind", "weights"), [("f32", "f32"), ("q8_0", "q8_0"), ("f16", "f32")])
def test_rows_that_are_no_whole_blocks(
    tiny_checkpoint: Path, tmp_path: Path, kind: GgufType, weights: str
) -> None:
    """48 wide: with Q8_0 those matrices stay floats, and nothing changes."""
    write_gguf(Checkpoint(tiny_checkpoint), tmp_path / "tiny.gguf", kind)
    same = logits(tmp_path / "tiny.gguf", weights=weights) == logits(
        tiny_checkpoint, weights=weights
    )
    assert same == (kind != "f16")


def test_a_gguf_file_can_be_exported_again(exported: Path, tmp_path: Path) -> None:
    write_gguf(GgufModel(exported), tmp_path / "run1.gguf", "q8_0")
    assert (tmp_path / "run1.gguf").read_bytes() == exported.read_bytes()


@pytest.mark.parametrize("kind", ["q8_0", "f16", "f32"])
def test_the_gguf_package_reads_it(run1: Path, tmp_path: Path, kind: GgufType) -> None:
    checkpoint = Checkpoint(run1)
    hp = checkpoint.hparams
    end = hp.n_vocab - 1
    write_gguf(checkpoint, tmp_path / "run1.gguf", kind)
    reader = gguf.GGUFReader(tmp_path / "run1.gguf")
    fields = {name: field.contents() for name, field in reader.fields.items()}
    expected = {
        "general.architecture": "gpt2",
        "general.file_type": {"q8_0": 7, "f16": 1, "f32": 0}[kind],
        "gpt2.context_length": 1024,
        "gpt2.embedding_length": hp.n_embd,
        "gpt2.feed_forward_length": 4 * hp.n_embd,
        "gpt2.block_count": hp.n_layer,
        "gpt2.attention.head_count": hp.n_head,
        "gpt2.attention.layer_norm_epsilon": pytest.approx(1e-5),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.bos_token_id": end,
        "tokenizer.ggml.eos_token_id": end,
        "tokenizer.ggml.add_bos_token": True,
    }
    assert {name: fields[name] for name in expected} == expected
    assert fields["tokenizer.ggml.token_type"] == [1] * end + [3]
    ids = json.loads((run1 / "encoder.json").read_text())
    assert fields["tokenizer.ggml.tokens"] == sorted(ids, key=ids.__getitem__)
    merges = (run1 / "vocab.bpe").read_text(encoding="utf-8").splitlines()[1:]
    assert fields["tokenizer.ggml.merges"] == merges

    found = {tensor.name: tensor for tensor in reader.tensors}
    weights = llama_cpp_names(checkpoint)
    assert found.keys() == weights.keys()
    for name, array in weights.items():
        matrix = array.ndim == 2 and name != "position_embd.weight"
        wanted = Type[kind.upper()] if matrix else Type.F32
        assert found[name].tensor_type == wanted
        assert found[name].shape.tolist() == list(array.shape[::-1])
        assert found[name].data.tobytes() == gguf.quants.quantize(array, wanted).tobytes()


HARD_TEXTS = [
    "Wren's   don't\n\n  we'll \n",
    "\x1c a\x85b \u2003 c\u200b\ufeff",
    "½ ٣ 12 1234567",
    "🦦e\u0301 ポケモン ﬁ",
    " <|endoftext|> ",
    "a\0b\t\u00a0x\r\n\r\n x",
    "'LL 'll'S's 're",
    "   ",
    "a   ",
]
NEAR = 0.1
"""Logits. Activations are rounded to 8 bits, there a little otherwise than here, so nearer ones may
change places: the largest difference in 380 tokens was 0.07."""


def test_llama_cpp_goes_on_as_we_do(exported: Path) -> None:
    """The same tokens of a text, and the same 32 tokens after a prompt wherever one is likeliest
    by more than rounding."""
    model = Model.load(exported)
    encode, end = model.tokenizer.encode, model.tokenizer.end_of_text
    stories = [path.read_text() for path in sorted((ROOT / "data" / "sample").glob("*.txt"))]
    prompts = [[end, *encode(story)[: 1 + i * 5]] for i, story in enumerate(stories[::10])]
    questions = {"texts": HARD_TEXTS + stories[:3], "prompts": prompts, "length": 32}
    command = [sys.executable, Path(__file__).with_name("llama_cpp.py"), exported]
    done = subprocess.run(command, input=json.dumps(questions), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    answers = json.loads(done.stdout)

    assert answers["begin"] == [end]
    for text, theirs in zip(questions["texts"], answers["tokens"], strict=True):
        assert encode(text) == theirs
    same = 0
    for prompt, theirs in zip(prompts, answers["continuations"], strict=True):
        ours = list(model.submit(prompt, length=32, sampling=Sampling(temperature=0), seed=0))
        same += ours == theirs
        drawn = np.asarray(model.logits(prompt + theirs))[len(prompt) - 1 : -1]
        chosen = drawn[np.arange(len(theirs)), theirs]
        assert (drawn.max(-1) - chosen).max() < NEAR
        second, first = np.sort(drawn)[:, -2:].T
        assert ours == theirs or (first - second).min() < NEAR
    assert same > len(prompts) / 2


def test_an_interrupted_export_leaves_nothing(run1: Path, tmp_path: Path) -> None:
    def interrupted(data: Any) -> Iterator[bytearray]:
        yield next(iter(data))
        raise KeyboardInterrupt

    (tmp_path / "old.gguf").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_gguf(Checkpoint(run1), tmp_path / "old.gguf", "q8_0", progress=interrupted)
    assert [p.name for p in tmp_path.iterdir()] == ["old.gguf"]
    assert (tmp_path / "old.gguf").read_bytes() == b"old"


# ---- What others write ----------------------------------------------------------------------


def llama_cpp_names(checkpoint: Checkpoint) -> dict[str, Array]:
    """The weights as llama.cpp's converter has them: its names, matrices [n_out][n_in]."""
    names = {
        "wte": "token_embd.weight",
        "wpe": "position_embd.weight",
        "ln_f/g": "output_norm.weight",
        "ln_f/b": "output_norm.bias",
    }
    parts = {
        "ln_1/g": "attn_norm.weight",
        "ln_1/b": "attn_norm.bias",
        "attn/c_attn/w": "attn_qkv.weight",
        "attn/c_attn/b": "attn_qkv.bias",
        "attn/c_proj/w": "attn_output.weight",
        "attn/c_proj/b": "attn_output.bias",
        "ln_2/g": "ffn_norm.weight",
        "ln_2/b": "ffn_norm.bias",
        "mlp/c_fc/w": "ffn_up.weight",
        "mlp/c_fc/b": "ffn_up.bias",
        "mlp/c_proj/w": "ffn_down.weight",
        "mlp/c_proj/b": "ffn_down.bias",
    }
    for layer in range(checkpoint.hparams.n_layer):
        names |= {f"h{layer}/{ours}": f"blk.{layer}.{theirs}" for ours, theirs in parts.items()}
    weights = {}
    for (name, shape), data in zip(
        tensors(checkpoint.hparams), checkpoint.read_tensors(), strict=True
    ):
        array = np.frombuffer(data, np.float32).reshape(shape)
        if len(shape) == 3:
            array = np.ascontiguousarray(array[0].T)
        weights[names[name.removeprefix("model/")]] = array
    return weights


class Foreign:
    """A GGUF file as llama.cpp's converter makes it of a checkpoint, to change before `write`."""

    def __init__(self, folder: Path) -> None:
        checkpoint = Checkpoint(folder)
        hp = checkpoint.hparams
        ids = json.loads((folder / "encoder.json").read_text())
        self.n_vocab = hp.n_vocab
        self.weights = llama_cpp_names(checkpoint)
        self.architecture = "gpt2"
        self.endianess = gguf.GGUFEndian.LITTLE
        self.numbers = {
            "gpt2.context_length": hp.n_ctx,
            "gpt2.embedding_length": hp.n_embd,
            "gpt2.feed_forward_length": 4 * hp.n_embd,
            "gpt2.block_count": hp.n_layer,
            "gpt2.attention.head_count": hp.n_head,
        }
        self.epsilon: float | None = 1e-5
        self.strings = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2"}
        merges = (folder / "vocab.bpe").read_text(encoding="utf-8").splitlines()[1:]
        self.arrays: dict[str, list[Any]] = {
            "tokenizer.ggml.tokens": sorted(ids, key=ids.__getitem__),
            "tokenizer.ggml.token_type": [1] * (hp.n_vocab - 1) + [3],
            "tokenizer.ggml.merges": merges,
        }

    def split(self) -> None:
        """Queries, keys and values in tensors of their own."""
        for name in [name for name in self.weights if "attn_qkv" in name]:
            array = self.weights.pop(name)
            for part, third in zip("qkv", np.split(array, 3), strict=True):
                self.weights[name.replace("qkv", part)] = third

    def write(self, path: Path, kind: Type = Type.F32) -> Path:
        """Matrices of this type, the rest float32."""
        writer = gguf.GGUFWriter(path, self.architecture, endianess=self.endianess)
        for key, number in self.numbers.items():
            writer.add_uint32(key, number)
        for key, string in self.strings.items():
            writer.add_string(key, string)
        for key, array in self.arrays.items():
            writer.add_array(key, array)
        if self.epsilon is not None:
            writer.add_float32("gpt2.attention.layer_norm_epsilon", self.epsilon)
        for name, array in self.weights.items():
            if array.ndim == 2 and name != "position_embd.weight":
                data = gguf.quants.quantize(array, kind)
                writer.add_tensor(name, data, raw_dtype=kind)
            else:
                writer.add_tensor(name, array)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path


@pytest.fixture
def foreign(tiny_checkpoint: Path) -> Foreign:
    return Foreign(tiny_checkpoint)


@pytest.mark.parametrize(
    ("kind", "bound"),
    [(Type.F32, 0), (Type.F16, 1e-3), (Type.BF16, 1e-2), (Type.Q8_0, 0.02), (Type.Q4_0, 0.3)],
)
@pytest.mark.parametrize("split", [False, True])
def test_loads_what_llama_cpps_converter_makes(
    run1: Path, tmp_path: Path, kind: Type, bound: float, split: bool
) -> None:
    """The numbers that the gguf package says are in the file, and near the original's."""
    foreign = Foreign(run1)
    if split:
        foreign.split()
    path = foreign.write(tmp_path / "foreign.gguf", kind)
    floats = Foreign(run1)
    floats.weights = {
        name: gguf.quants.dequantize(gguf.quants.quantize(array, kind), kind)
        if array.ndim == 2 and name != "position_embd.weight"
        else array
        for name, array in floats.weights.items()
    }
    assert logits(path, weights="f32") == logits(
        floats.write(tmp_path / "floats.gguf"), weights="f32"
    )
    got, original = (np.frombuffer(logits(p, weights="f32"), np.float32) for p in (path, run1))
    assert np.linalg.norm(got - original) <= bound * np.linalg.norm(original)
    if kind == Type.Q8_0:
        assert logits(path) == logits(run1)


def test_the_tokenizer_is_the_folders(
    foreign: Foreign, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    ours, theirs = (
        Model.load(path).tokenizer
        for path in (foreign.write(tmp_path / "foreign.gguf"), tiny_checkpoint)
    )
    assert ours.end_of_text == theirs.end_of_text
    for text in HARD_TEXTS:
        assert ours.encode(text) == theirs.encode(text)
        assert ours.decode(ours.encode(text)).decode() == text


def test_an_output_that_is_the_embedding(
    foreign: Foreign, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """Converters of 2024 wrote it twice."""
    foreign.weights["output.weight"] = foreign.weights["token_embd.weight"].copy()
    path = foreign.write(tmp_path / "foreign.gguf")
    assert logits(path) == logits(tiny_checkpoint)
    foreign.weights["output.weight"][200, 3] += 1
    with pytest.raises(CheckpointError, match="output.weight is not token_embd.weight"):
        Model.load(foreign.write(tmp_path / "other.gguf"))


@pytest.mark.parametrize("named", [True, False])
def test_a_padded_vocabulary_is_cut(
    foreign: Foreign, tiny_checkpoint: Path, tmp_path: Path, named: bool
) -> None:
    """Rows for no token, or for unused ones as the converter names them: never drawn."""
    embedding = foreign.weights["token_embd.weight"]
    foreign.weights["token_embd.weight"] = np.pad(embedding, ((0, 43), (0, 0)), constant_values=9)
    if named:
        padding = [f"[PAD{i}]" for i in range(foreign.n_vocab, foreign.n_vocab + 43)]
        foreign.arrays["tokenizer.ggml.tokens"] += padding
        foreign.arrays["tokenizer.ggml.token_type"] += [5] * 43
    path = foreign.write(tmp_path / "foreign.gguf")
    assert GgufModel(path).hparams == Checkpoint(tiny_checkpoint).hparams
    assert logits(path) == logits(tiny_checkpoint)


def test_special_tokens_of_any_name(foreign: Foreign, tmp_path: Path) -> None:
    embedding = foreign.weights["token_embd.weight"]
    foreign.weights["token_embd.weight"] = np.pad(embedding, ((0, 1), (0, 0)))
    foreign.arrays["tokenizer.ggml.tokens"] += ["[user]"]
    foreign.arrays["tokenizer.ggml.token_type"] += [4]
    model = Model.load(foreign.write(tmp_path / "foreign.gguf"))
    assert model.tokenizer.decode([foreign.n_vocab]) == b"[user]"


def change(**attributes: Any) -> Callable[[Foreign], None]:
    def apply(foreign: Foreign) -> None:
        for name, value in attributes.items():
            old = getattr(foreign, name)
            setattr(foreign, name, old | value if isinstance(old, dict) else value)

    return apply


def drop(group: str, name: str) -> Callable[[Foreign], None]:
    return lambda foreign: getattr(foreign, group).pop(name)


def set_weight(name: str, value: float) -> Callable[[Foreign], None]:
    def apply(foreign: Foreign) -> None:
        foreign.weights[name] = foreign.weights[name].copy()
        foreign.weights[name].flat[5] = value

    return apply


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (change(architecture="llama"), "its architecture is 'llama', not 'gpt2'"),
        (change(epsilon=1e-6), "epsilon is 9.99.*e-07, GPT-2's 1e-5"),
        (change(epsilon=None), "epsilon is None"),
        (change(epsilon=float("nan")), "epsilon is nan"),
        (change(endianess=gguf.GGUFEndian.BIG), "its numbers are big-endian"),
        (change(numbers={"gpt2.feed_forward_length": 96}), "feed_forward_length is 96, not 192"),
        (change(numbers={"gpt2.block_count": 3}), "no tensor blk.2.attn_norm.weight"),
        (change(numbers={"gpt2.block_count": 1}), "tensors that no GPT-2 has: 'blk.1."),
        (change(numbers={"gpt2.block_count": 0}), "block_count is 0, not a sensible number"),
        (change(numbers={"gpt2.block_count": 2**32 - 1}), "not a sensible number"),
        (change(numbers={"gpt2.attention.head_count": 5}), "no GPT-2 has the shape"),
        (
            change(numbers={"gpt2.context_length": 512}),
            "position_embd.weight is 256x48, not 512x48",
        ),
        (drop("numbers", "gpt2.context_length"), "context_length is None"),
        (change(strings={"tokenizer.ggml.model": "llama"}), "its tokenizer is 'llama'"),
        (change(strings={"tokenizer.ggml.pre": "llama-bpe"}), r"'gpt2' \('llama-bpe'\), not"),
        (drop("arrays", "tokenizer.ggml.tokens"), "tokens is missing"),
        (drop("arrays", "tokenizer.ggml.merges"), "merges is missing"),
        (change(arrays={"tokenizer.ggml.tokens": [1, 2]}), "tokens holds something else"),
        (change(arrays={"tokenizer.ggml.tokens": ["a", "a"]}), "2 tokens and 341 types"),
        (change(arrays={"tokenizer.ggml.token_type": ["a"] * 341}), "type holds something else"),
        (change(arrays={"tokenizer.ggml.token_type": [5] * 341}), "no GPT-2 has the shape"),
        (change(arrays={"tokenizer.ggml.merges": ["t h e"]}), "merge 't' 'h e' does not fit"),
        (lambda foreign: foreign.arrays["tokenizer.ggml.merges"].pop(), "no merge makes"),
        (drop("weights", "blk.1.ffn_up.bias"), "no tensor blk.1.ffn_up.bias"),
        (change(weights={"rope.weight": np.ones(9, np.float32)}), "no GPT-2 has: 'rope.weight"),
        (change(weights={"output.weight": np.ones((2, 2), np.float32)}), "output.weight is not"),
        (set_weight("blk.0.ffn_up.weight", np.nan), "model/h0/mlp/c_fc/w holds NaN or infinity"),
        (set_weight("output_norm.bias", np.inf), "model/ln_f/b holds NaN or infinity"),
    ],
)
def test_models_that_are_not_ours(
    foreign: Foreign, tmp_path: Path, mistake: Callable[[Foreign], None], message: str
) -> None:
    mistake(foreign)
    with pytest.raises(CheckpointError, match=message) as error:
        Model.load(foreign.write(tmp_path / "foreign.gguf"))
    assert "foreign.gguf" in str(error.value)
    assert "\n" not in str(error.value)


# ---- A stranger's bytes ---------------------------------------------------------------------


def read_all(path: Path) -> int:
    """Reads all that there is of a model; returns the most memory that took, in bytes."""
    tracemalloc.start()
    try:
        model = GgufModel(path)
        compile_vocabulary(model.read_vocabulary())
        for _ in model.read_tensors():
            pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"GGML" + bytes(100), "is not a GGUF file"),
        (b"GGUF", "it is cut short"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(100), "its GGUF version is 1, not 2 or 3"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer"),
    ],
)
def test_files_of_another_kind(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        Model.load(tmp_path / "model.gguf")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing.gguf is missing"):
        Model.load(tmp_path / "nothing.gguf")
    (tmp_path / "folder.gguf").mkdir()
    with pytest.raises(CheckpointError, match="folder.gguf cannot be read: Is a directory"):
        Model.load(tmp_path / "folder.gguf")


def string(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


def header(
    keys: bytes = b"", infos: bytes = b"", n_keys: int = 1, n_tensors: int = 1, data: int = 64
) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, n_tensors, n_keys) + keys + infos
    return head + bytes(-len(head) % 32 + data)


def info(
    name: bytes = b"a", shape: tuple[int, ...] = (8,), kind: int = 0, offset: int = 0
) -> bytes:
    dims = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return string(name) + dims + struct.pack("<IQ", kind, offset)


def alignment(n: int) -> bytes:
    return string(b"general.alignment") + struct.pack("<II", 4, n)


ARRAY = string(b"k") + struct.pack("<I", 9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header(n_tensors=2**60), "too many"),
        (header(n_keys=2**64 - 1), "too many"),
        (header(n_keys=2**16, data=0), "it is cut short"),
        (header(string(b"k", 2**63)), "it is cut short"),
        (header(string(b"k") + struct.pack("<I", 8) + string(b"v", 2**64 - 1)), "it is cut short"),
        (header(string(b"k") + struct.pack("<I", 13)), "unknown type 13"),
        (header(ARRAY + struct.pack("<IQ", 8, 2**61)), "it is cut short"),
        (header(ARRAY + struct.pack("<IQ", 5, 2**62)), "it is cut short"),
        (header(ARRAY + struct.pack("<IQ", 12, 2**64 - 1)), "it is cut short"),
        (header(ARRAY + struct.pack("<IQ", 9, 1)), "unknown type 9"),
        (header(ARRAY + struct.pack("<IQ", 8, 1) + string(b"\xff")), "not UTF-8"),
        (header(string(b"\xff") + struct.pack("<II", 4, 1)), "not UTF-8"),
        (header(2 * (string(b"k") + struct.pack("<II", 4, 1)), n_keys=2), "'k' twice"),
        (header(alignment(0), info()), "its alignment is 0"),
        (header(alignment(3), info()), "its alignment is 3"),
        (header(alignment(2**31), info()), "its alignment is 2147483648"),
        (
            header(string(b"general.alignment") + ARRAY[9:] + struct.pack("<IQi", 5, 1, 8), info()),
            r"its alignment is \[8\]",
        ),
        (header(infos=info(shape=()), n_keys=0), "'a' has 0 dimensions"),
        (header(infos=info(shape=(1,) * 5), n_keys=0), "'a' has 5 dimensions"),
        (header(infos=info(shape=(8, 0)), n_keys=0), "a shape that F32 cannot have"),
        (header(infos=info(shape=(33,), kind=8), n_keys=0), "a shape that Q8_0 cannot have"),
        (header(infos=info(shape=(2**63, 2**63, 4, 4)), n_keys=0), "it is cut short: 'a' would"),
        (header(infos=info(shape=(2**32, 2**32)), n_keys=0), "it is cut short: 'a' would end"),
        (header(infos=info(offset=64), n_keys=0), "it is cut short: 'a' would end"),
        (header(infos=info(offset=2**64 - 32), n_keys=0), "it is cut short: 'a' would end"),
        (header(infos=info(offset=1), n_keys=0), "overlaps another tensor or is not aligned"),
        (header(infos=info() + info(b"b"), n_keys=0, n_tensors=2), "overlaps another tensor"),
        (header(infos=info() + info(), n_keys=0, n_tensors=2), "it lists 'a' twice"),
        (header(infos=info(kind=12), n_keys=0), "'a' is of the type Q4_K; only F32, F16, Q8_0, Q4"),
        (header(infos=info(kind=2**32 - 1), n_keys=0), "'a' is of the type 4294967295"),
        (header(infos=info(), n_keys=0), "its architecture is None"),
    ],
)
def test_hostile_headers(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_all(tmp_path / "model.gguf")


def test_a_header_without_end(tmp_path: Path) -> None:
    """Four million strings in a file of 40 MB: refused before they are all there."""
    n = 4 << 20
    content = header(ARRAY + struct.pack("<IQ", 8, n) + n * string(b"zz"))
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(CheckpointError, match="its header has more than"):
        Model.load(tmp_path / "model.gguf")


@pytest.fixture(scope="module")
def small(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("small") / "small.gguf"
    write_gguf(Checkpoint(tiny_checkpoint), path, "q8_0")
    return path.read_bytes()


def test_damage_is_an_error_or_another_model(small: bytes, tmp_path: Path) -> None:
    """Cuts and changed bytes anywhere, most in the header: CheckpointError, never another exception
    nor more memory than a few times the file."""
    path = tmp_path / "small.gguf"
    start = small.index(b"token_embd.weight")

    @settings(max_examples=400)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, start - 1) | st.integers(0, len(small) - 1),
                st.binary(min_size=1, max_size=8),
            ),
            min_size=1,
            max_size=3,
        ),
        st.integers(0, len(small) - 1) | st.none(),
    )
    def check(changes: list[tuple[int, bytes]], cut: int | None) -> None:
        data = bytearray(small)
        for at, new in changes:
            data[at : at + len(new)] = new
        path.write_bytes(data[:cut])
        try:
            assert read_all(path) < 4 * len(small) + (1 << 20)
        except CheckpointError as error:
            assert "small.gguf" in str(error) and "\n" not in str(error)

    check()


def test_every_cut_is_noticed(small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    for at in [*range(0, len(small), len(small) // 300), len(small) - 1]:
        path.write_bytes(small[:at])
        with pytest.raises(CheckpointError):
            GgufModel(path)


@settings(max_examples=300)
@given(st.binary(max_size=300), st.integers(0, 3), st.integers(0, 3))
def test_any_bytes_are_refused(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, n_tensors: int, n_keys: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "stranger.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, n_tensors, n_keys) + body)
    with pytest.raises(CheckpointError):
        read_all(path)


# ---- Caches and changes ---------------------------------------------------------------------


def test_the_packed_weights_are_a_cache(
    small: bytes, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    path, other = tmp_path / "small.gguf", tmp_path / "small[1].gguf"
    for file in (path, other):
        file.write_bytes(small)
        expected = logits(file)
    (cache,) = tmp_path.glob("small.gguf.*.packed")
    stamp = cache.stat().st_mtime_ns
    assert logits(path) == expected == logits(tiny_checkpoint)
    assert cache.stat().st_mtime_ns == stamp  # it was used, not written again

    write_gguf(GgufModel(path), path, "f16")
    assert logits(path) != expected
    assert len(list(tmp_path.glob("*.packed"))) == 2  # the old one is gone, the other file's is not
    assert not cache.exists()


def test_identity_and_signature_follow_the_content(small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    assert signature(path) == ()
    path.write_bytes(small)
    identity, before = GgufModel(path).identity, signature(path)
    assert signature(path) == before != ()
    Model.load(path).close()  # writes its cache
    assert signature(path) == before
    shutil.copy(path, tmp_path / "copy.gguf")
    assert GgufModel(tmp_path / "copy.gguf").identity == identity
    path.write_bytes(small[:-4] + bytes(4))
    assert GgufModel(path).identity != identity
    assert signature(path) != before


def test_a_file_that_is_replaced_while_it_is_read(small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    path.write_bytes(small)
    model = GgufModel(path)
    path.write_bytes(small + b"more")
    with pytest.raises(CheckpointError, match="was changed while it was read"):
        next(model.read_tensors())
