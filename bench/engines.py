"""The engines that are compared, each in a process of its own.

    python -m bench.engines ENGINE '{"path": ..., "streams": 16, "context": 134, "threads": 2}'

The process says on its first line what it is (`Ready`), then answers each line of standard input,
a `Work`, with a line of standard output, a `Done`: JSON all of them. Each engine runs in the
configuration that its documentation and a trial on this machine found fastest; where there was a
choice, a comment gives the reason.

What an engine alone needs is imported there, since the memory of the processes is compared.

onnxruntime is left out: its GPT-2 exporter (onnxruntime.transformers.models.gpt2, 1.31) hands past
keys and values over as a tuple, which transformers 5 no longer takes.
"""

import ctypes
import json
import os
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Tokens = list[int]


@dataclass(frozen=True)
class Setup:
    """What an engine is started with."""

    path: str
    """The model in the engine's own format: a file or a folder."""
    streams: int
    """The most requests at once."""
    context: int
    """The most tokens of a request, prompt included."""
    threads: int
    server: str = ""
    """The llama-server to start (only `LlamaServer`)."""


@dataclass(frozen=True)
class Work:
    """Concurrent requests, as many as there are prompts, which are of equal length.

    Every request gets exactly `length` new tokens: the end-of-text token is forbidden or ignored.
    """

    prompts: list[Tokens]
    seeds: list[int]
    length: int
    temperature: float = 0.7
    """0 is greedy."""
    top_k: int = 40


@dataclass(frozen=True)
class Ready:
    """The model is loaded."""

    version: str
    load: float
    """Seconds, without the imports."""


@dataclass(frozen=True)
class Done:
    """Work that was done."""

    seconds: float
    tokens: list[Tokens]
    """The new tokens of each request."""
    peak_rss: int
    """Bytes of memory that the process has held at most (VmHWM), mapped files included."""


class Engine(ABC):
    """A loaded model."""

    version: str
    load: float
    """Seconds that loading took, without the imports."""

    @abstractmethod
    def __init__(self, setup: Setup) -> None: ...

    @abstractmethod
    def generate(self, work: Work) -> list[Tokens]:
        """The new tokens of each request, once all are there."""

    def pid(self) -> int:
        """The process that computes."""
        return os.getpid()


class Ours(Engine):
    """engine.Model; GPT2_KERNEL in the environment chooses the kernels."""

    def __init__(self, setup: Setup) -> None:
        from engine import Model, Sampling

        started = time.perf_counter()
        self._model = Model.load(  # which keeps no prompts, as llama.cpp below
            setup.path, threads=setup.threads, max_batch=setup.streams, prefix_cache=0
        )
        self.load = time.perf_counter() - started
        self._sampling = Sampling
        self._model.tokenizer.end_of_text = -1  # no token: texts end at their length alone
        self.version = f"{self._model.kernel} kernels"

    def generate(self, work: Work) -> list[Tokens]:
        sampling = self._sampling(temperature=work.temperature, top_k=work.top_k)
        requests = [
            self._model.submit(prompt, length=work.length, sampling=sampling, seed=seed)
            for prompt, seed in zip(work.prompts, work.seeds, strict=True)
        ]
        return [list(request) for request in requests]


class _LlamaCpp(Engine):
    """llama.cpp's server: continuous batching over as many slots as there are streams.

    Its defaults are the fastest: flash attention (auto), and a KV cache of its own for each slot.
    """

    _complete: Callable[[dict[str, object]], Any]

    def generate(self, work: Work) -> list[Tokens]:
        from concurrent.futures import ThreadPoolExecutor

        common = {
            "max_tokens": work.length,
            "temperature": work.temperature,
            "top_k": work.top_k,
            "samplers": ["top_k", "temperature"],
            "ignore_eos": True,
            "cache_prompt": False,
            "return_tokens": True,
            "verbose": True,  # the tokens are in the verbose part of the answer
        }
        requests: list[dict[str, object]] = [
            common | {"prompt": prompt, "seed": seed}
            for prompt, seed in zip(work.prompts, work.seeds, strict=True)
        ]
        with ThreadPoolExecutor(len(requests)) as pool:
            answers = list(pool.map(self._complete, requests))
        return [answer["__verbose"]["tokens"] for answer in answers]


class LlamaWheel(_LlamaCpp):
    """llama.cpp as the xllamacpp wheel has it: compiled for AVX2, without AVX-512 and VNNI."""

    def __init__(self, setup: Setup) -> None:
        import xllamacpp

        started = time.perf_counter()
        params = xllamacpp.CommonParams()
        params.model.path = setup.path
        params.n_parallel = setup.streams
        params.n_ctx = setup.streams * setup.context
        params.cpuparams.n_threads = setup.threads
        params.cpuparams_batch.n_threads = setup.threads
        params.cache_ram_mib = 0
        params.fit_params = False
        params.verbosity = -1
        self._server = xllamacpp.Server(params)
        self.load = time.perf_counter() - started
        self._complete = self._server.handle_completions
        self.version = _version("xllamacpp")


class LlamaServer(_LlamaCpp):
    """llama-server, compiled from the same source for this machine (see `bench.models`)."""

    def __init__(self, setup: Setup) -> None:
        import socket
        import subprocess

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        options = {
            "--model": setup.path,
            "--port": self._port,
            "--parallel": setup.streams,
            "--ctx-size": setup.streams * setup.context,
            "--threads": setup.threads,
            "--threads-batch": setup.threads,
            "--cache-ram": 0,
            "--fit": "off",
        }
        started = time.perf_counter()
        arguments = [str(part) for option in options.items() for part in option]
        self._process = subprocess.Popen(  # noqa: S603
            [setup.server, *arguments],
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )
        while not self._healthy():
            if self._process.poll() is not None:
                raise RuntimeError(f"{setup.server} ended with {self._process.returncode}")
            time.sleep(0.005)
        self.load = time.perf_counter() - started
        self.version = _version("xllamacpp")
        self._complete = self._post

    def pid(self) -> int:
        return self._process.pid

    def _healthy(self) -> bool:
        try:
            return self._request("GET", "/health", None)[0] == 200
        except OSError:
            return False

    def _post(self, body: dict[str, object]) -> Any:
        status, answer = self._request("POST", "/v1/completions", json.dumps(body))
        if status != 200:
            raise RuntimeError(f"llama-server: {status} {answer[:200]!r}")
        return json.loads(answer)

    def _request(self, method: str, path: str, body: str | None) -> tuple[int, bytes]:
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()


class CTranslate2(Engine):
    """CTranslate2, int8 weights and activations; the requests are one batch.

    Its defaults are the fastest: with CT2_USE_MKL=1 on an AMD processor it is several times slower.
    """

    def __init__(self, setup: Setup) -> None:
        import ctranslate2

        started = time.perf_counter()
        self._generator = ctranslate2.Generator(
            setup.path, compute_type="int8", inter_threads=1, intra_threads=setup.threads
        )
        self._vocabulary = json.loads((Path(setup.path) / "vocabulary.json").read_text())
        self.load = time.perf_counter() - started
        self.version = _version("ctranslate2")

    def generate(self, work: Work) -> list[Tokens]:
        results = self._generator.generate_batch(
            [[self._vocabulary[token] for token in prompt] for prompt in work.prompts],
            min_length=work.length,
            max_length=work.length,
            sampling_topk=work.top_k if work.temperature else 1,
            sampling_temperature=work.temperature or 1.0,
            include_prompt_in_result=False,  # else it reads the prompt token by token
        )
        return [result.sequences_ids[0] for result in results]


class Transformers(Engine):
    """Hugging Face transformers on PyTorch, float32; the requests are one batch."""

    def __init__(self, setup: Setup) -> None:
        import torch
        import transformers

        self._torch = torch
        torch.set_num_threads(setup.threads)
        started = time.perf_counter()
        self._model: Any = transformers.GPT2LMHeadModel.from_pretrained(setup.path)
        self.load = time.perf_counter() - started
        self.version = f"{_version('transformers')}, torch {_version('torch')}"

    def generate(self, work: Work) -> list[Tokens]:
        torch = self._torch
        torch.manual_seed(work.seeds[0])
        prompts = torch.tensor(work.prompts)
        how: dict[str, Any] = {"do_sample": False}
        if work.temperature:
            how = {"do_sample": True, "temperature": work.temperature, "top_k": work.top_k}
        with torch.inference_mode():
            texts = self._model.generate(
                prompts,
                attention_mask=torch.ones_like(prompts),
                min_new_tokens=work.length,
                max_new_tokens=work.length,
                pad_token_id=0,
                **how,
            )
        tokens: list[Tokens] = texts[:, prompts.shape[1] :].tolist()
        return tokens


class Gpt2Simple(Engine):
    """gpt-2-simple's own sampler on TensorFlow; the requests are one batch.

    Its `generate` adds the sampler to the graph at each call; here it is built once.
    """

    def __init__(self, setup: Setup) -> None:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        import gpt_2_simple
        import tensorflow
        from gpt_2_simple.src import model, sample

        folder = Path(setup.path)
        self._tf = tensorflow.compat.v1
        self._sample_sequence = sample.sample_sequence
        started = time.perf_counter()
        self._session = gpt_2_simple.start_tf_sess(threads=setup.threads)
        gpt_2_simple.load_gpt2(
            self._session, run_name=folder.name, checkpoint_dir=str(folder.parent)
        )
        self.load = time.perf_counter() - started
        self._hparams = model.default_hparams()
        self._hparams.override_from_dict(json.loads((folder / "hparams.json").read_text()))
        self._length = self._tf.placeholder(self._tf.int32, [])
        self._temperature = self._tf.placeholder(self._tf.float32, [])
        self._samplers: dict[tuple[int, int], tuple[Any, Any]] = {}
        """By batch size and top_k, which shape the graph: the prompts' placeholder, the texts."""
        self.version = f"{_version('gpt-2-simple')}, TensorFlow {_version('tensorflow')}"

    def generate(self, work: Work) -> list[Tokens]:
        n = len(work.prompts)
        top_k = work.top_k if work.temperature else 1
        if (n, top_k) not in self._samplers:
            prompts = self._tf.placeholder(self._tf.int32, [n, None])
            texts = self._sample_sequence(
                hparams=self._hparams,
                length=self._length,
                context=prompts,
                batch_size=n,
                temperature=self._temperature,
                top_k=top_k,
            )
            self._samplers[n, top_k] = prompts, texts
        prompts, texts = self._samplers[n, top_k]
        values = {
            prompts: work.prompts,
            self._length: work.length,
            self._temperature: work.temperature or 1.0,
        }
        texts = self._session.run(texts, values)
        tokens: list[Tokens] = texts[:, len(work.prompts[0]) :].tolist()
        return tokens


ENGINES: dict[str, type[Engine]] = {
    engine.__name__: engine
    for engine in (Ours, LlamaWheel, LlamaServer, CTranslate2, Transformers, Gpt2Simple)
}


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def die_with_parent() -> None:
    """Between fork and exec: the process ends when the one that started it does (prctl(2))."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def peak_rss(pid: int) -> int:
    """VmHWM in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def main() -> None:
    """Run as a worker until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print belongs into the log
    engine = ENGINES[sys.argv[1]](Setup(**json.loads(sys.argv[2])))
    print(json.dumps(asdict(Ready(engine.version, engine.load))), file=answers)
    for line in sys.stdin:
        work = Work(**json.loads(line))
        started = time.perf_counter()
        tokens = engine.generate(work)
        seconds = time.perf_counter() - started
        print(json.dumps(asdict(Done(seconds, tokens, peak_rss(engine.pid())))), file=answers)


if __name__ == "__main__":
    main()
