"""The engine as WebAssembly gives what the native one gives."""

import shutil
import subprocess
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wasmtime import Engine, Instance, Memory, Module, Store

from engine import Model, Sampling, Weights
from tests.conftest import ROOT

READING, END = -1, -2
BROKEN = -3
PAGE = 65536

Request = tuple[list[int], int, Sampling, int]  # prompt, length, how, seed


class Host:
    """What a browser does: an instance of the module, and bytes in and out of its memory."""

    def __init__(self, module: Module, engine: Engine) -> None:
        self.store = Store(engine)
        self._exports = Instance(self.store, module, []).exports(self.store)
        memory = self._exports["memory"]
        assert isinstance(memory, Memory)
        self.memory = memory

    def call(self, name: str, *arguments: float) -> int:
        result: int = self._exports[name](self.store, *arguments)  # type: ignore[operator]
        return result

    def malloc(self, size: int) -> int:
        at = self.call("malloc", size)
        assert at % 16 == 0
        return at

    def put(self, data: bytes) -> int:
        at = self.malloc(len(data))
        assert at != 0
        self.memory.write(self.store, data, at)
        return at

    def put_int32s(self, numbers: Iterable[int]) -> int:
        return self.put(np.fromiter(numbers, np.int32).tobytes())

    def int32s(self, at: int, n: int) -> list[int]:
        return np.frombuffer(self.memory.read(self.store, at, at + 4 * n), np.int32).tolist()

    def open(self, packed: bytes) -> tuple[int, int]:
        """The model, and where the tokenizer's tables are."""
        at, slot = self.put(packed), self.malloc(4)
        size = self.call("gpt2_packed_size", at + 16, self.int32s(at + 12, 1)[0])
        assert self.call("gpt2_model_open", at, size, slot) == 0
        return self.int32s(slot, 1)[0], at + size

    def session(self, model: int, request: Request, stop: int) -> int:
        prompt, length, how, seed = request
        tokens = self.put_int32s(prompt)
        session = self.call(
            "gpt2_session_new",
            *(model, tokens, len(prompt), length),
            *(float(how.temperature), how.top_k, how.top_p, how.repetition_penalty),
            *(seed - (1 << 32) if seed >> 31 else seed, stop),
        )
        self.call("free", tokens)
        return session

    def generate(self, model: int, request: Request, stop: int) -> list[int]:
        session = self.session(model, request, stop)
        assert session != 0
        drawn = []
        while (token := self.call("gpt2_session_step", session)) != END:
            if token != READING:
                drawn.append(token)
        assert self.call("gpt2_session_step", session) == END
        self.call("gpt2_session_free", session)
        return drawn


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> tuple[Module, Engine]:
    if not shutil.which("clang") or not shutil.which("wasm-ld"):
        pytest.skip("needs clang and lld")
    wasm = tmp_path_factory.mktemp("wasm") / "gpt2.wasm"
    done = subprocess.run(
        ["make", "wasm", f"WASM={wasm}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    engine = Engine()
    module = Module.from_file(engine, str(wasm))
    assert not module.imports
    return module, engine


@pytest.fixture
def host(module: tuple[Module, Engine]) -> Host:
    return Host(*module)


def packed(folder: Path, weights: Weights = "q8_0") -> bytes:
    """Of a checkpoint that was loaded."""
    (path,) = folder.glob(f"*.{weights}.packed")
    return path.read_bytes()


def native(model: Model, request: Request) -> list[int]:
    prompt, length, how, seed = request
    return list(model.submit(prompt, length=length, sampling=how, seed=seed))


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Model:
    return Model.load(tiny_checkpoint)


def test_the_same_tokens(
    model: Model, tiny_checkpoint: Path, module: tuple[Module, Engine]
) -> None:
    """Whatever the prompt, the parameters and the seed, in one instance after the other."""
    host = Host(*module)
    handle, _ = host.open(packed(tiny_checkpoint))

    @settings(max_examples=60)
    @given(
        st.tuples(
            st.lists(st.integers(0, 340), min_size=1, max_size=300),
            st.integers(1, 40) | st.integers(200, 300),
            st.builds(
                Sampling,
                temperature=st.sampled_from([0.0, 1e-38, 1e-50, 0.5, 1.0, 3.0, 1e39]),
                top_k=st.sampled_from([0, 1, 5, 341, 9999]),
                top_p=st.sampled_from([0.0, 1e-50, 0.3, 0.9, 1.0]),
                repetition_penalty=st.sampled_from([1.0, 1 + 1e-9, 1.3, 0.1, 10.0]),
            ),
            st.integers(0, 2**32 - 1),
        )
    )
    @example(([1, 2], 30, Sampling(3.0, top_p=1e-50), 7))  # not 0, which is off
    def check(request: Request) -> None:
        assert host.generate(handle, request, model.tokenizer.end_of_text) == native(model, request)

    check()


@pytest.mark.parametrize(
    ("n_prompt", "length"),
    [(1, 256), (1, 255), (255, 1), (256, 1), (256, 2), (300, 40), (900, 100), (200, 350), (7, 600)],
)
def test_long_prompts_and_the_sliding_window(
    model: Model, tiny_checkpoint: Path, host: Host, n_prompt: int, length: int
) -> None:
    prompt = [i * i * 31 % 340 for i in range(n_prompt)]
    request = (prompt, length, Sampling(0.9, top_k=40, repetition_penalty=1.3), 11)
    handle, _ = host.open(packed(tiny_checkpoint))
    drawn = host.generate(handle, request, model.tokenizer.end_of_text)
    assert drawn == native(model, request)
    assert drawn


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, bytes]:
    folder = tmp_path_factory.mktemp("committed") / "run1"
    shutil.copytree(ROOT / "checkpoint" / "run1", folder, ignore=shutil.ignore_patterns("*.packed"))
    model = Model.load(folder)
    return model, packed(folder)


def test_the_committed_checkpoint(committed: tuple[Model, bytes], host: Host) -> None:
    model, data = committed
    handle, _ = host.open(data)
    prompt = model.tokenizer.encode("Wren and Fizzlet arrive in a town by the sea, where ")
    for seed, how in enumerate(
        [
            Sampling(0),
            Sampling(0.7),
            Sampling(0.7, top_k=40),
            Sampling(1.0, top_p=0.9),
            Sampling(1.1, top_k=100, top_p=0.8),
            Sampling(0.7, top_k=40, repetition_penalty=1.2),
        ]
    ):
        request = (prompt, 60, how, seed)
        drawn = host.generate(handle, request, model.tokenizer.end_of_text)
        assert drawn == native(model, request)
        assert len(drawn) > 5


@pytest.mark.parametrize("weights", ["q8_0", "f32"])
def test_the_same_logits_bit_for_bit(tiny_checkpoint: Path, host: Host, weights: Weights) -> None:
    """In one step, in several, and a token a step."""
    model = Model.load(tiny_checkpoint, weights=weights)
    handle, _ = host.open(packed(tiny_checkpoint, weights))
    tokens = [i * 7 % 341 for i in range(200)]
    expected = np.asarray(model.logits(tokens))

    def logits(session: int) -> bytes:
        at = host.call("gpt2_session_logits", session)
        return bytes(host.memory.read(host.store, at, at + 4 * model.hparams.n_vocab))

    for n in (1, 2, 3, 4, 5, 17, 63, 64, 65, 127, 128, 200):
        session = host.session(handle, (tokens[:n], 1, Sampling(0), 0), stop=-1)
        while host.call("gpt2_session_step", session) == READING:
            pass
        assert logits(session) == expected[n - 1].tobytes()
        host.call("gpt2_session_free", session)

    session = host.session(handle, ([5], 30, Sampling(0), 0), stop=-1)
    text = [5]
    while (token := host.call("gpt2_session_step", session)) != END:
        assert logits(session) == np.asarray(model.logits(text))[-1].tobytes()
        text.append(token)
    assert len(text) == 31


def test_the_same_tokens_of_text(
    committed: tuple[Model, bytes], module: tuple[Module, Engine]
) -> None:
    model, data = committed
    host = Host(*module)
    _, tables = host.open(data)
    n_merges = host.int32s(tables, 3)[2]
    byte_ids, merges = tables + 4 * 5, tables + 4 * (5 + 256)
    columns = [merges + 4 * n_merges * i for i in range(3)]
    handle = host.call("gpt2_tokenizer_new", byte_ids, *columns, n_merges)
    assert handle != 0

    words = st.sampled_from(["Wren", " the", "'ll", "  \n", "\u2003", "½7", "é", "東京", "🙂", "…"])

    @given(st.text() | st.lists(words).map("".join))
    def check(text: str) -> None:
        data = text.encode()
        source, out = host.put(data), host.malloc(4 * len(data))
        n = host.call("gpt2_encode", handle, source, len(data), out)
        assert host.int32s(out, n) == model.tokenizer.encode(text)
        host.call("free", source)
        host.call("free", out)

    check()


def test_what_is_not_a_model(tiny_checkpoint: Path, model: Model, host: Host) -> None:
    data = packed(tiny_checkpoint)
    slot, at = host.malloc(4), host.put(data)
    size = host.call("gpt2_packed_size", at + 16, 1)
    assert 0 < size < len(data)
    for wrong in (0, 63, size - 1, size + 1):
        assert host.call("gpt2_model_open", at, wrong, slot) == BROKEN
    assert host.call("gpt2_model_open", host.put(b"GGUF" + data[4:]), size, slot) == BROKEN


def test_memory_that_is_out_is_an_answer(
    tiny_checkpoint: Path, model: Model, module: tuple[Module, Engine]
) -> None:
    """Wherever it ends; and what was had until then is given back."""
    request = ([1, 2, 3], 200, Sampling(), 1)
    expected = native(model, request)
    stop = model.tokenizer.end_of_text
    for pages in range(100):
        host = Host(*module)
        handle, _ = host.open(packed(tiny_checkpoint))
        host.store.set_limits(memory_size=host.memory.data_len(host.store) + pages * PAGE)
        session = host.session(handle, request, stop)
        if session:
            break
        host.store.set_limits(memory_size=-1)
        assert host.generate(handle, request, stop) == expected
    assert session != 0
    assert pages > 2


def test_sessions_leave_memory_as_it_was(tiny_checkpoint: Path, model: Model, host: Host) -> None:
    handle, _ = host.open(packed(tiny_checkpoint))
    host.generate(handle, ([1], 300, Sampling(), 0), stop=-1)
    before = host.memory.data_len(host.store)
    for seed in range(30):
        host.generate(handle, ([1] * (1 + 7 * seed), 1 + 9 * seed, Sampling(), seed), stop=-1)
    assert host.memory.data_len(host.store) == before


def test_blocks_of_memory_do_not_overlap(module: tuple[Module, Engine]) -> None:
    host = Host(*module)
    sizes = st.integers(0, 100) | st.integers(0, 300_000)

    @given(st.lists(st.tuples(sizes, st.integers(0, 100)), min_size=1, max_size=40))
    def check(steps: list[tuple[int, int]]) -> None:
        """Each step takes a block; an even number also gives one back."""
        held: dict[int, int] = {}
        most = 0
        for size, which in steps:
            held[host.malloc(size)] = size
            most = max(most, sum(held.values()))
            spans = sorted((at, at + size) for at, size in held.items())
            assert spans[0][0] > 0
            assert spans[-1][1] <= host.memory.data_len(host.store)
            for (_, end), (begin, _) in pairwise(spans):
                assert end <= begin
            if which % 2 == 0:
                at = list(held)[which % len(held)]
                del held[at]
                host.call("free", at)
        for at in held:
            host.call("free", at)
        # Everything is in one piece again: as much as was held needs no more pages.
        grown = host.memory.data_len(host.store)
        host.call("free", host.malloc(most))
        assert host.memory.data_len(host.store) == grown

    check()
    assert host.call("malloc", -1) == host.call("malloc", -100_000) == 0
