"""The C library through ctypes: argument types, status codes and nothing else.

Every call releases the GIL. ``csrc/gpt2.h`` documents the functions.
"""

import ctypes
from ctypes import POINTER, Structure, c_char_p, c_float, c_int32, c_int64, c_uint32, c_void_p
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

ENOMEM = -1

RUNNING, STOP, LENGTH, CANCELLED, FAILED = range(5)


class HParams(Structure):
    _fields_ = [(name, c_int32) for name in ("n_vocab", "n_ctx", "n_embd", "n_head", "n_layer")]


class Sampling(Structure):
    _fields_ = [
        ("temperature", c_float),
        ("top_p", c_float),
        ("repetition_penalty", c_float),
        ("top_k", c_int32),
        ("seed", c_uint32),
    ]


class Stats(Structure):
    _fields_ = [
        ("running", c_int32),
        ("waiting", c_int32),
        ("computed", c_int64),
        ("shared", c_int64),
    ]


def _load() -> ctypes.CDLL:
    path = Path(__file__).with_name("_gpt2" + EXTENSION_SUFFIXES[0])
    if not path.exists():
        raise ImportError(f"{path.name} is not built: run `pip install -e .` in the repository")
    lib = ctypes.CDLL(str(path))
    int32s, floats = POINTER(c_int32), POINTER(c_float)
    # Result and arguments of each function.
    signatures: dict[str, tuple[object, list[object]]] = {
        "gpt2_packed_size": (c_int64, [POINTER(HParams), c_int32]),
        "gpt2_n_tensors": (c_int32, [POINTER(HParams)]),
        "gpt2_all_finite": (c_int32, [c_void_p, c_int64]),
        "gpt2_pack_tensor": (
            c_int32,
            [POINTER(HParams), c_int32, c_int32, c_void_p, c_void_p],
        ),
        "gpt2_pack_header": (c_int32, [POINTER(HParams), c_int32, c_void_p]),
        "gpt2_model_open": (c_int32, [c_void_p, c_int64, POINTER(c_void_p)]),
        "gpt2_model_close": (None, [c_void_p]),
        "gpt2_kernel_name": (c_char_p, [c_void_p]),
        "gpt2_logits": (c_int32, [c_void_p, int32s, c_int32, c_int32, floats]),
        "gpt2_scheduler_start": (c_void_p, [c_void_p, c_int32, c_int32, c_int64]),
        "gpt2_scheduler_stop": (None, [c_void_p]),
        "gpt2_scheduler_stats": (None, [c_void_p, POINTER(Stats)]),
        "gpt2_submit": (
            c_void_p,
            [c_void_p, int32s, c_int32, c_int32, POINTER(Sampling), c_int32],
        ),
        "gpt2_read": (c_int32, [c_void_p, c_int32, int32s, c_int32, c_int32, int32s]),
        "gpt2_cancel": (None, [c_void_p]),
        "gpt2_release": (None, [c_void_p]),
        "gpt2_tokenizer_new": (c_void_p, [int32s, int32s, int32s, int32s, c_int32]),
        "gpt2_tokenizer_free": (None, [c_void_p]),
        "gpt2_encode": (c_int64, [c_void_p, c_char_p, c_int64, int32s]),
        "gpt2_ggml_to_f32": (c_int32, [c_int32, c_void_p, c_int64, c_void_p]),
        "gpt2_ggml_from_f32": (c_int32, [c_int32, c_void_p, c_int64, c_void_p]),
        "gpt2_transpose": (None, [c_void_p, c_int32, c_int32, c_void_p]),
        "gpt2_crc32c": (c_uint32, [c_uint32, c_void_p, c_int64]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


lib = _load()
