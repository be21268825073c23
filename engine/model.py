"""A GPT-2 that continues many texts at once."""

import ctypes
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

from engine import _native
from engine._native import lib
from engine.checkpoint import HParams
from engine.files import CheckpointError
from engine.packed import Packed, Weights, pack
from engine.source import open_source

FinishReason = Literal["stop", "length", "cancelled"]

_POLL_MS = 200  # how long a reader sleeps before it lets Ctrl-C in
_MAX_LENGTH = 1 << 20  # tokens


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.

    temperature: 0 takes the likeliest token; 1 samples from the model's own distribution.
    top_k: keep the k likeliest tokens, and those as likely as the k-th; 0 is off.
    top_p: keep the likeliest tokens until they reach this probability; 0 is off.
    Where both are given, top_p applies to what top_k kept.
    repetition_penalty: 0.1 to 10; above 1 the tokens of the context window, prompt and text alike,
    are less likely to come again, below 1 they are more likely; 1 is off. It goes before the others
    and is that of CTRL (Keskar et al., arXiv 1909.05858) as in Hugging Face's transformers: each
    token's logit is divided by it where it is positive, else multiplied, once however often the
    token occurs. The end-of-text token alone is left as it is: a prompt that begins with it would
    make a text that hardly ends.
    """

    temperature: float = 0.7
    top_k: int = 0
    top_p: float = 0.0
    repetition_penalty: float = 1.0


class Stats(NamedTuple):
    """What a model is doing, and has done since it was loaded."""

    running: int
    """Requests in the batch."""
    waiting: int
    computed: int
    """Tokens that went through the model."""
    shared: int
    """Tokens whose keys and values were copied from another text that begins alike."""


class Model:
    """A checkpoint, ready to generate. Use `Model.load`.

    Safe to use from many threads. Threads do not survive fork(), so load after forking. The model
    is freed when nobody refers to it and its last `Generation` is gone, or by `close`.
    """

    def __init__(
        self,
        packed: Packed,
        *,
        hparams: HParams,
        identity: str,
        threads: int,
        max_batch: int,
        prefix_cache: int,
    ) -> None:
        self.hparams = hparams
        self.tokenizer = packed.tokenizer
        self.identity = identity
        """16 hex digits that tell this checkpoint from every other."""
        self._threads = threads
        self._pid = os.getpid()
        self._lock = threading.Lock()  # nobody submits while the scheduler is stopped
        self._evaluation = threading.Lock()  # nobody evaluates while the weights are freed
        handle = ctypes.c_void_p()
        # The buffer keeps the mapping alive as long as the finalizer holds it.
        buffer = (ctypes.c_char * packed.size).from_buffer(packed.memory)
        status = lib.gpt2_model_open(buffer, packed.size, ctypes.byref(handle))
        if status == _native.ENOMEM:
            raise MemoryError
        if status != 0:
            raise CheckpointError("the packed weights are damaged: delete the *.packed files")
        self._handle = handle
        self.kernel: str = lib.gpt2_kernel_name(handle).decode()
        """"avx512", "avx2" or "portable"; GPT2_KERNEL in the environment forces one."""
        self._scheduler = lib.gpt2_scheduler_start(handle, threads, max_batch, prefix_cache)
        if not self._scheduler:
            lib.gpt2_model_close(handle)
            raise MemoryError("no memory or threads for the engine")
        self._finalizer = weakref.finalize(
            self, _free, self._scheduler, handle, buffer, self._lock, self._evaluation, self._pid
        )

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        weights: Weights = "q8_0",
        threads: int | None = None,
        max_batch: int = 64,
        prefix_cache: int = 16 << 20,
    ) -> Self:
        """Loads a checkpoint folder in gpt-2-simple's layout, or a GGUF file.

        weights: "q8_0" is small and fast; "f32" computes in floats throughout, the reference.
        threads: default, one for each processor this process may use (8 at most).
        max_batch: how many requests run at once; further ones wait in order.
        prefix_cache: bytes of keys and values of ended texts that are kept, so that a prompt which
        begins like one of them, or goes on from it, need not be computed again. The default holds
        about 800 tokens of GPT-2's smallest model.

        The quantised weights are kept beside the checkpoint as ``*.packed``, a cache that the next
        load only maps; where the folder cannot be written they live in memory. Raises
        CheckpointError where the checkpoint is incomplete or broken, and MemoryError.
        """
        threads = _processors() if threads is None else threads
        if not (1 <= threads <= 256 and 1 <= max_batch <= 4096 and 0 <= prefix_cache < 1 << 62):
            raise ValueError(
                f"threads={threads} is not 1 to 256, max_batch={max_batch} not 1 to 4096, or "
                f"prefix_cache={prefix_cache} negative"
            )
        source = open_source(path)
        return cls(
            pack(source, weights),
            hparams=source.hparams,
            identity=source.identity,
            threads=threads,
            max_batch=max_batch,
            prefix_cache=prefix_cache,
        )

    def submit(
        self,
        prompt: Sequence[int],
        *,
        length: int,
        sampling: Sampling = Sampling(),
        seed: int,
    ) -> "Generation":
        """Queues a prompt to be continued by at most `length` tokens; never blocks.

        The tokens are a function of the checkpoint, the prompt, the parameters and the seed
        (0 to 2**32 - 1). Of a long prompt the last n_ctx - length tokens count, or the last
        n_ctx / 2 where that is more. A text that fills the context window goes on: its last
        n_ctx / 2 tokens begin a new window. Raises ValueError for parameters out of range and for a
        prompt that is empty or holds unknown tokens.
        """
        self._check_process()
        hp = self.hparams
        if not prompt or not all(0 <= token < hp.n_vocab for token in prompt):
            raise ValueError("the prompt is empty or holds tokens that the model does not know")
        if not 1 <= length <= _MAX_LENGTH:
            raise ValueError(f"length is not between 1 and {_MAX_LENGTH:,}")
        prompt = prompt[-max(hp.n_ctx - length, hp.n_ctx // 2, 1) :]
        if not 0 <= seed < 1 << 32:
            raise ValueError("seed is not between 0 and 2**32 - 1")
        if not (
            0 <= sampling.temperature < float("inf")
            and 0 <= sampling.top_p <= 1
            and 0 <= sampling.top_k < 1 << 31
            and 0.1 <= sampling.repetition_penalty <= 10
        ):
            raise ValueError(f"{sampling} is out of range")
        # As a float32 the smallest would be 0, which is off.
        top_p = max(sampling.top_p, 1e-30) if sampling.top_p > 0 else 0.0
        how = _native.Sampling(
            sampling.temperature, top_p, sampling.repetition_penalty, sampling.top_k, seed
        )
        with self._lock:
            self._check_open()
            request = lib.gpt2_submit(
                self._scheduler,
                (ctypes.c_int32 * len(prompt))(*prompt),
                len(prompt),
                length,
                ctypes.byref(how),
                self.tokenizer.end_of_text,
            )
        if not request:
            raise MemoryError
        return Generation(self, request)

    def logits(self, tokens: Sequence[int]) -> "memoryview[float]":
        """Logits after each token: floats [len(tokens)][n_vocab], for numpy.asarray() or indexing.

        For evaluation: computed apart from the running batch, one text at a time.
        1 <= len(tokens) <= n_ctx.
        """
        self._check_process()
        hp = self.hparams
        if not 1 <= len(tokens) <= hp.n_ctx or not all(0 <= t < hp.n_vocab for t in tokens):
            raise ValueError(f"1 to {hp.n_ctx} tokens below {hp.n_vocab} are needed")
        out = (ctypes.c_float * (len(tokens) * hp.n_vocab))()
        ids = (ctypes.c_int32 * len(tokens))(*tokens)
        with self._evaluation:
            self._check_open()
            if lib.gpt2_logits(self._handle, ids, len(tokens), self._threads, out) != 0:
                raise MemoryError
        return memoryview(out).cast("B").cast("f", shape=[len(tokens), hp.n_vocab])

    def stats(self) -> Stats:
        """What is running and waiting, and how much was computed."""
        self._check_process()
        stats = _native.Stats()
        with self._lock:
            self._check_open()
            lib.gpt2_scheduler_stats(self._scheduler, ctypes.byref(stats))
        return Stats(stats.running, stats.waiting, stats.computed, stats.shared)

    def close(self) -> None:
        """Cancels what runs and frees the model."""
        self._check_process()
        self._finalizer()

    def _check_open(self) -> None:
        if not self._finalizer.alive:
            raise RuntimeError("the model is closed")

    def _check_process(self) -> None:
        """Before any lock is taken: a fork may have copied it locked."""
        if os.getpid() != self._pid:
            raise RuntimeError("the model was loaded before fork(): load it in each process")


class Generation:
    """A text under way: iterate over its tokens.

    Iteration waits without the GIL and ends at the end-of-text token, which is not part of it.
    Leaving a ``with`` block, or dropping the object, cancels it.
    """

    def __init__(self, model: Model, request: int) -> None:
        self._model = model  # whose weights are in use
        self._request = request
        self._seen = 0
        self._unread: deque[int] = deque()
        self._buffer = (ctypes.c_int32 * 64)()
        self._finish = _native.RUNNING
        self._finalizer = weakref.finalize(self, lib.gpt2_release, request)
        self._finalizer.atexit = False  # daemon threads may still be reading

    @property
    def finish_reason(self) -> FinishReason | None:
        """None until the iteration has ended."""
        if self._unread:
            return None
        reasons: dict[int, FinishReason] = {
            _native.STOP: "stop",
            _native.LENGTH: "length",
            _native.CANCELLED: "cancelled",
        }
        return reasons.get(self._finish)

    def cancel(self) -> None:
        """Leaves the batch at the next step; the iteration ends after the tokens drawn so far."""
        lib.gpt2_cancel(self._request)

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        """The next token. Raises MemoryError if the text's KV cache did not fit into memory."""
        if not self._unread and not self._wait():
            raise StopIteration
        return self._unread.popleft()

    def read(self) -> list[int]:
        """The tokens that are there, once there is one; none at the end. Raises as iteration."""
        self._wait()
        tokens = list(self._unread)
        self._unread.clear()
        return tokens

    def _wait(self) -> bool:
        """Until there are unread tokens; False at the end."""
        self._model._check_process()
        while not self._unread:
            if self._finish == _native.FAILED:
                raise MemoryError("no memory for the KV cache")
            if self._finish != _native.RUNNING:
                return False
            finish = ctypes.c_int32()
            n = lib.gpt2_read(
                self._request,
                self._seen,
                self._buffer,
                len(self._buffer),
                _POLL_MS,
                ctypes.byref(finish),
            )
            self._unread.extend(self._buffer[:n])
            self._seen += n
            self._finish = finish.value
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


def _free(
    scheduler: int,
    handle: ctypes.c_void_p,
    _weights: object,
    lock: threading.Lock,
    evaluation: threading.Lock,
    pid: int,
) -> None:
    """At the interpreter's exit too, while other threads may still submit."""
    if os.getpid() == pid:  # in a fork the threads to join do not exist
        with lock:
            lib.gpt2_scheduler_stop(scheduler)
        with evaluation:
            lib.gpt2_model_close(handle)


def _processors() -> int:
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        available = os.cpu_count() or 1
    return min(available, 8)
