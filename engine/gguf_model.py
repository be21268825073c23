"""GPT-2 as a GGUF file, in the names of llama.cpp's converter (gguf-py/gguf/constants.py).

What we write, llama.cpp and all that stand on it load; what its converter made of a GPT-2, and
llama-quantize made smaller, loads here.
"""

import ctypes
import glob
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedReader
from math import prod
from pathlib import Path
from typing import Literal, TypeVar

from engine import gguf
from engine._native import lib
from engine.checkpoint import Checkpoint, HParams, tensors
from engine.files import CheckpointError, write_aside
from engine.tokenizer import Tokenizer, Vocabulary, compile_vocabulary

GgufType = Literal["q8_0", "f16", "f32"]

_TYPES: dict[GgufType, gguf.TensorType] = {"q8_0": gguf.Q8_0, "f16": gguf.F16, "f32": gguf.F32}
_FILE_TYPES: dict[GgufType, int] = {"q8_0": 7, "f16": 1, "f32": 0}  # llama_ftype of llama.h
_NORMAL, _CONTROL, _UNUSED = 1, 3, 5  # llama_token_type of llama.h

_ARCHITECTURE = "general.architecture"
_EPSILON = "gpt2.attention.layer_norm_epsilon"
_FEED_FORWARD = "gpt2.feed_forward_length"
_HPARAMS = {
    "n_ctx": "gpt2.context_length",
    "n_embd": "gpt2.embedding_length",
    "n_head": "gpt2.attention.head_count",
    "n_layer": "gpt2.block_count",
}
_ABOUT = ("general.author", "general.description", "general.license", "general.license.link")
_PRE = "tokenizer.ggml.pre"
_MODEL = "tokenizer.ggml.model"
_TOKENS = "tokenizer.ggml.tokens"
_TYPES_OF_TOKENS = "tokenizer.ggml.token_type"
_MERGES = "tokenizer.ggml.merges"

_EMBEDDING = "token_embd.weight"
_OUTPUT = "output.weight"
_UNTIED = (
    f"{_OUTPUT} is not {_EMBEDDING}, which GPT-2 has as its head. If it was quantised with "
    "differing types, take the F16 or Q8_0 file instead"
)

# A checkpoint's names -> GGUF's.
_LAYER_NAMES = {
    "ln_1": "attn_norm",
    "attn/c_attn": "attn_qkv",
    "attn/c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp/c_fc": "ffn_up",
    "mlp/c_proj": "ffn_down",
}
_OTHER_NAMES = {
    "model/wte": _EMBEDDING,
    "model/wpe": "position_embd.weight",
    "model/ln_f/g": "output_norm.weight",
    "model/ln_f/b": "output_norm.bias",
}
_CHUNK = 1 << 20  # bytes

Item = TypeVar("Item", str, int)


class GgufModel:
    """A GGUF file with a GPT-2, as far as can be told without looking at the weights.

    Raises CheckpointError, which says what is wrong and what to do.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.prefix = Path(path)
        """Path of the file; its caches' names begin with its name."""
        self.caches = glob.escape(self.prefix.name) + ".*"
        """Pattern for the names, without extensions, of caches of this file and earlier ones."""
        with self._open() as file:
            self._stamp = _stamp(file)
            header = gguf.read_header(file)
            self._metadata = header.metadata
            self._check_architecture()
            self._vocabulary = self._read_vocabulary()
            self.hparams = self._read_hparams()
            self._output = header.tensors.get(_OUTPUT)
            self._parts = self._find_tensors(header.tensors)
            file.seek(0)
            self.identity = hashlib.file_digest(file, "sha256").hexdigest()[:16]
            """16 hex digits, of the content."""

    @property
    def about(self) -> dict[str, str]:
        """Whose work it is and on which terms, as `write_gguf` takes it."""
        known = {key: self._metadata.get(key) for key in _ABOUT}
        return {key: value for key, value in known.items() if isinstance(value, str)}

    def read_vocabulary(self) -> Vocabulary:
        """Without tokens that only pad it."""
        return self._vocabulary

    def read_tensors(self) -> Iterator[bytearray]:
        """The tensors in the order and layout of `tensors`, as float32, one at a time."""
        with self._open() as file:
            if _stamp(file) != self._stamp:
                raise CheckpointError(f"{self.prefix} was changed while it was read")
            for (name, shape), parts in zip(tensors(self.hparams), self._parts, strict=True):
                if name == "model/wte":
                    self._check_output(file, parts[0])
                data = bytearray(4 * prod(shape))
                at = 0
                for part in parts:
                    at += self._read_floats(file, part, data, at)
                floats = (ctypes.c_float * prod(shape)).from_buffer(data)
                if not lib.gpt2_all_finite(floats, len(floats)):
                    raise CheckpointError(
                        f"{self.prefix}: {name} holds NaN or infinity: it is damaged, or its "
                        "training diverged"
                    )
                if len(shape) == 3:
                    data = bytearray(len(data))
                    transposed = (ctypes.c_float * len(floats)).from_buffer(data)
                    lib.gpt2_transpose(floats, shape[2], shape[1], transposed)
                yield data

    def _read_floats(
        self, file: BufferedReader, tensor: gguf.Tensor, data: bytearray, at: int
    ) -> int:
        """Into `data` from the byte `at` on. Returns how many bytes."""
        file.seek(tensor.offset)
        stored = file.read(tensor.size)
        if len(stored) < tensor.size:
            raise CheckpointError(f"{self.prefix} was cut short while it was read")
        floats = (ctypes.c_float * prod(tensor.shape)).from_buffer(data, at)
        lib.gpt2_ggml_to_f32(tensor.type.number, stored, len(floats), floats)
        return 4 * len(floats)

    @contextmanager
    def _open(self) -> Iterator[BufferedReader]:
        try:
            with self.prefix.open("rb") as file:
                yield file
        except FileNotFoundError:
            raise CheckpointError(f"{self.prefix} is missing: no model there") from None
        except OSError as error:
            raise CheckpointError(f"{self.prefix} cannot be read: {error.strerror}") from None

    def _refuse(self, why: str) -> CheckpointError:
        return CheckpointError(f"{self.prefix} cannot be used: {why}")

    def _check_architecture(self) -> None:
        """GPT-2 as it was published, and nothing that only looks like it."""
        get = self._metadata.get
        if get(_ARCHITECTURE) != "gpt2":
            raise self._refuse(f"its architecture is {get(_ARCHITECTURE)!r}, not 'gpt2'"[:200])
        epsilon = get(_EPSILON)
        if not isinstance(epsilon, float) or not abs(epsilon - 1e-5) <= 1e-8:  # or NaN
            raise self._refuse(f"its layer norm's epsilon is {epsilon!r}, GPT-2's 1e-5"[:200])
        if get(_MODEL) != "gpt2" or get(_PRE, "gpt-2") != "gpt-2":
            kind = f"{get(_MODEL)!r} ({get(_PRE)!r})"
            raise self._refuse(f"its tokenizer is {kind}, not 'gpt2' ('gpt-2')"[:200])

    def _read_vocabulary(self) -> Vocabulary:
        tokens, merges = self._list(_TOKENS, str), self._list(_MERGES, str)
        types = self._list(_TYPES_OF_TOKENS, int) if _TYPES_OF_TOKENS in self._metadata else None
        types = types or [_NORMAL] * len(tokens)
        if len(types) != len(tokens):
            raise self._refuse(f"it has {len(tokens):,} tokens and {len(types):,} types of them")
        while tokens and types[len(tokens) - 1] == _UNUSED:  # some pad to a round number
            tokens.pop()
        ids = {token: i for i, token in enumerate(tokens)}
        if len(ids) < len(tokens):
            raise self._refuse("two of its tokens are the same")
        pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
        special = frozenset(t for t, kind in zip(tokens, types, strict=False) if kind != _NORMAL)
        return Vocabulary(str(self.prefix), ids, pairs, special)

    def _list(self, key: str, kind: type[Item]) -> list[Item]:
        items = self._metadata.get(key)
        if not isinstance(items, list):
            raise self._refuse(f"{key} is missing or no list")
        found = [item for item in items if isinstance(item, kind)]
        if len(found) < len(items):
            raise self._refuse(f"{key} holds something else than it should")
        return found

    def _read_hparams(self) -> HParams:
        values = {}
        for name, key in _HPARAMS.items():
            value = self._metadata.get(key)
            if type(value) is not int or not 1 <= value <= 1 << 22:
                raise self._refuse(f"{key} is {value!r}, not a sensible number"[:200])
            values[name] = value
        width = self._metadata.get(_FEED_FORWARD)
        if width != 4 * values["n_embd"]:
            raise self._refuse(f"{_FEED_FORWARD} is {width!r}, not {4 * values['n_embd']}"[:200])
        return HParams(n_vocab=len(self._vocabulary.ids), **values)

    def _find_tensors(self, stored: dict[str, gguf.Tensor]) -> list[list[gguf.Tensor]]:
        """For each tensor of `tensors` the one, or the ones, whose rows make it up."""
        left = dict(stored)
        output = left.pop(_OUTPUT, None)
        parts = [self._find(*_renamed(name, shape), left) for name, shape in tensors(self.hparams)]
        if left:
            names = ", ".join(map(repr, sorted(left)[:3]))
            raise self._refuse(f"it has tensors that no GPT-2 has: {names}"[:200])
        embedding = stored[_EMBEDDING]
        if output and (output.type, output.shape) != (embedding.type, embedding.shape):
            raise self._refuse(_UNTIED)
        return parts

    def _find(
        self, name: str, shape: tuple[int, ...], left: dict[str, gguf.Tensor]
    ) -> list[gguf.Tensor]:
        """Takes them out of `left`."""
        names, rows = [name], shape[0]
        if name not in left and "attn_qkv" in name:
            names, rows = [name.replace("qkv", part) for part in "qkv"], shape[0] // 3
        parts = []
        for part in names:
            if part not in left:
                raise self._refuse(f"it has no tensor {part}")
            tensor = left.pop(part)
            padded = name == _EMBEDDING and tensor.shape[0] > rows
            if padded:
                tensor = replace(tensor, shape=(rows, *tensor.shape[1:]))
            if tensor.shape != (rows, *shape[1:]):
                raise self._refuse(
                    f"{part} is {_shape(tensor.shape)}, not {_shape((rows, *shape[1:]))}"
                )
            parts.append(tensor)
        return parts

    def _check_output(self, file: BufferedReader, embedding: gguf.Tensor) -> None:
        """GPT-2's head is its token embedding: a file that has both has the same twice."""
        if self._output is None:
            return
        for at in range(0, embedding.size, _CHUNK):
            n = min(_CHUNK, embedding.size - at)
            chunks = []
            for tensor in (embedding, self._output):
                file.seek(tensor.offset + at)
                chunks.append(file.read(n))
            if chunks[0] != chunks[1]:
                raise self._refuse(_UNTIED)


def write_gguf(
    source: Checkpoint | GgufModel,
    path: Path,
    kind: GgufType,
    *,
    about: Mapping[str, str] | None = None,
    progress: Callable[[Iterable[bytearray]], Iterable[bytearray]] = iter,
) -> None:
    """Writes a model for llama.cpp; `path` appears when it is complete.

    kind: how matrices are stored. With "q8_0" they hold the very numbers that the engine computes
    with by default; those whose rows are not whole blocks of 32, the position embedding and all
    vectors stay float32. about: further metadata, such as "general.license". progress: wraps the
    iteration over the tensors. Holds about one tensor in memory. Raises CheckpointError for a
    broken source, and OSError.
    """
    hp = source.hparams
    vocabulary = source.read_vocabulary()
    renamed = [_renamed(name, shape) for name, shape in tensors(hp)]
    types = {name: (_type_of(name, shape, _TYPES[kind]), shape) for name, shape in renamed}
    metadata: dict[str, gguf.Value] = {
        _ARCHITECTURE: "gpt2",
        "general.type": "model",
        "general.name": path.stem,
        **(about or {}),
        "general.file_type": _FILE_TYPES[kind],
        "general.quantization_version": 2,
        **{key: vars(hp)[name] for name, key in _HPARAMS.items()},
        _FEED_FORWARD: 4 * hp.n_embd,
        _EPSILON: 1e-5,
        **_tokenizer_metadata(vocabulary),
    }
    head, placed = gguf.layout(metadata, types)
    with write_aside(path) as file:
        file.write(head)
        for (_, shape), tensor, data in zip(
            tensors(hp), placed.values(), progress(source.read_tensors()), strict=True
        ):
            file.write(bytes(tensor.offset - file.tell()))
            file.write(_converted(data, shape, tensor))


def _tokenizer_metadata(vocabulary: Vocabulary) -> dict[str, gguf.Value]:
    end_of_text = Tokenizer(compile_vocabulary(vocabulary)).end_of_text
    tokens = sorted(vocabulary.ids, key=vocabulary.ids.__getitem__)
    return {
        _MODEL: "gpt2",
        _PRE: "gpt-2",
        _TOKENS: tokens,
        _TYPES_OF_TOKENS: [
            _CONTROL if token in vocabulary.special else _NORMAL for token in tokens
        ],
        _MERGES: [" ".join(pair) for pair in vocabulary.merges],
        "tokenizer.ggml.bos_token_id": end_of_text,
        "tokenizer.ggml.eos_token_id": end_of_text,
        # A prompt begins a document, as it does in the service.
        "tokenizer.ggml.add_bos_token": True,
    }


def _converted(data: bytearray, shape: tuple[int, ...], tensor: gguf.Tensor) -> bytes | bytearray:
    """A float32 tensor [shape] of a checkpoint as GGUF stores it."""
    n = prod(shape)
    floats = (ctypes.c_float * n).from_buffer(data)
    if len(shape) == 3:
        transposed = (ctypes.c_float * n)()
        lib.gpt2_transpose(floats, shape[1], shape[2], transposed)
        floats = transposed
    out = bytearray(tensor.size)
    into = (ctypes.c_char * len(out)).from_buffer(out)
    lib.gpt2_ggml_from_f32(tensor.type.number, floats, n, into)
    return out


def _type_of(name: str, shape: tuple[int, ...], wanted: gguf.TensorType) -> gguf.TensorType:
    matrix = len(shape) == 2 and name != "position_embd.weight"
    return wanted if matrix and shape[-1] % wanted.block == 0 else gguf.F32


def _renamed(name: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """GGUF's name and shape of a checkpoint's tensor.

    A convolution's [1][n_in][n_out] is a matrix [n_out][n_in] there.
    """
    stored = shape[:0:-1] if len(shape) == 3 else shape
    if name in _OTHER_NAMES:
        return _OTHER_NAMES[name], stored
    _, layer, rest = name.split("/", 2)
    part, kind = rest.rsplit("/", 1)
    ending = "bias" if kind == "b" else "weight"
    return f"blk.{layer.removeprefix('h')}.{_LAYER_NAMES[part]}.{ending}", stored


def _stamp(file: BufferedReader) -> tuple[int, int, int]:
    """What tells that a file was replaced or written to."""
    stat = os.fstat(file.fileno())
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
