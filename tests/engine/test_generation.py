"""Generation: reproducible whatever else runs, stoppable, and drawn from the right distribution."""

import multiprocessing
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from transformers import RepetitionPenaltyLogitsProcessor

from engine import Generation, Model, Sampling
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Model:
    return Model.load(tiny_checkpoint)


samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    top_k=st.sampled_from([0, 1, 5, 341, 9999]),
    top_p=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.5]),
)
tails = st.lists(st.integers(0, 340), min_size=1, max_size=100)  # beyond one step's prefill
# Many prompts begin alike, and some are longer than the window.
prompts = st.builds(
    lambda n, tail: [i * i % 340 for i in range(n)] + tail,
    st.sampled_from([0, 40, 150, 250]),
    tails,
)
requests = st.tuples(prompts, st.integers(1, 30), samplings, st.integers(0, 2**32 - 1))
Request = tuple[list[int], int, Sampling, int]


def run(model: Model, request: Request) -> list[int]:
    prompt, length, sampling, seed = request
    return list(model.submit(prompt, length=length, sampling=sampling, seed=seed))


def test_a_text_does_not_depend_on_its_company(tiny_checkpoint: Path) -> None:
    """Alone, or among others that arrive in any order, begin alike and leave early; with any
    kernel, threads, batch size and prefix cache, after a reload, read at once or token by token."""
    alone = Model.load(tiny_checkpoint, threads=1, max_batch=1, prefix_cache=0)

    @settings(max_examples=30, deadline=None)
    @given(
        st.one_of(st.lists(requests, min_size=1, max_size=12), st.lists(requests, min_size=64)),
        st.sampled_from(["avx512", "avx2", "portable"]),
        st.fixed_dictionaries(
            {
                "threads": st.integers(1, 3),
                "max_batch": st.sampled_from([1, 3, 8, 64]),
                "prefix_cache": st.sampled_from([0, 1 << 18, 1 << 24]),
            }
        ),
        st.randoms(use_true_random=False),
    )
    def check(batch: list[Request], kernel: str, options: dict[str, int], random) -> None:
        expected = [run(alone, request) for request in batch]
        os.environ["GPT2_KERNEL"] = kernel
        try:
            other = Model.load(tiny_checkpoint, **options)
        finally:
            del os.environ["GPT2_KERNEL"]
        order = list(range(len(batch)))
        random.shuffle(order)
        started = {}
        for i in order:
            prompt, length, sampling, seed = batch[i]
            started[i] = other.submit(prompt, length=length, sampling=sampling, seed=seed)
            if random.random() < 0.3:  # company that leaves in the middle
                other.submit(prompt, length=length, seed=seed ^ 1).cancel()
            if random.random() < 0.3:
                next(started[i], None)  # lets some steps pass before the next one joins
                started[i] = other.submit(prompt, length=length, sampling=sampling, seed=seed)
        assert [list(started[i]) for i in range(len(batch))] == expected
        other.close()

    check()


def test_many_threads(model: Model) -> None:
    expected = {seed: run(model, ([1, 2, 3], 50, Sampling(1.0), seed)) for seed in range(24)}
    results: dict[int, list[int]] = {}

    def visit(seed: int) -> None:
        results[seed] = run(model, ([1, 2, 3], 50, Sampling(1.0), seed))

    visitors = [threading.Thread(target=visit, args=(seed,)) for seed in expected]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert results == expected


def test_greedy_takes_the_likeliest_token(model: Model) -> None:
    tokens = [5, 6, 7]
    drawn = list(model.submit(tokens, length=10, sampling=Sampling(temperature=0), seed=1))
    assert drawn
    for token in drawn:
        assert token == int(np.asarray(model.logits(tokens))[-1].argmax())
        tokens.append(token)


def next_logits(model: Model, window: list[int], penalty: float) -> NDArray[np.float32]:
    """After a window, with transformers' penalty on all its tokens but end-of-text."""
    logits = np.asarray(model.logits(window))[-1]
    process = RepetitionPenaltyLogitsProcessor(penalty)
    penalised = process(torch.tensor([window]), torch.tensor(logits[None]))[0].numpy()
    end = model.tokenizer.end_of_text
    penalised[end] = logits[end]
    return penalised


def reference_distribution(logits: NDArray[np.float32], how: Sampling) -> NDArray[np.float64]:
    """gpt-2-simple's top_k_logits() and top_p_logits(), in numpy."""
    x = logits.astype(np.float64) / how.temperature
    if how.top_k:
        x = np.where(x < np.sort(x)[-how.top_k], -np.inf, x)
    if how.top_p:
        ordered = np.sort(x)[::-1]
        p = np.exp(ordered - ordered[0])
        p /= p.sum()
        x = np.where(x < ordered[np.cumsum(p) - p < how.top_p].min(), -np.inf, x)
    p = np.exp(x - x.max())
    return p / p.sum()


@pytest.mark.parametrize(
    "how",
    [
        Sampling(1.0),
        Sampling(0.6),
        Sampling(1.0, top_k=7),
        Sampling(1.5, top_p=0.8),
        Sampling(1.0, top_k=20, top_p=0.5),
        Sampling(1.2, repetition_penalty=2.0),
        Sampling(0.8, top_k=60, repetition_penalty=0.7),
    ],
)
def test_draws_follow_the_distribution(model: Model, how: Sampling) -> None:
    """Chi-square over 4,000 seeds, rare tokens pooled. The seeds are fixed, so is the result."""
    prompt, n = [*range(0, 150, 2), 17, 4], 4000
    expected = n * reference_distribution(next_logits(model, prompt, how.repetition_penalty), how)
    generations = [
        model.submit(prompt, length=1, sampling=how, seed=seed * 7919) for seed in range(n)
    ]
    end = model.tokenizer.end_of_text
    counts = Counter(next(generation, end) for generation in generations)
    observed = np.array([counts[token] for token in range(len(expected))])
    assert not observed[expected == 0].any()
    often = expected >= 10
    pooled = [(observed[often], expected[often])]
    if expected[~often].sum() >= 10:
        pooled.append((observed[~often].sum(keepdims=True), expected[~often].sum(keepdims=True)))
    chi2 = sum(float(((o - e) ** 2 / e).sum()) for o, e in pooled)
    freedom = sum(len(e) for _, e in pooled) - 1
    assert chi2 < freedom + 4 * (2 * freedom) ** 0.5  # four standard deviations


def test_top_k_of_one_is_greedy(model: Model) -> None:
    greedy = run(model, ([9], 30, Sampling(0), 0))
    assert run(model, ([9], 30, Sampling(2.0, top_k=1), 5)) == greedy


def test_finish_reasons(model: Model) -> None:
    generation = model.submit([1], length=5, sampling=Sampling(1.0), seed=3)
    assert generation.finish_reason is None
    assert len(list(generation)) == 5
    assert generation.finish_reason == "length"

    end = model.tokenizer.end_of_text
    for seed in range(2000):
        generation = model.submit([1], length=20, sampling=Sampling(2.0), seed=seed)
        tokens = list(generation)
        assert end not in tokens
        if generation.finish_reason == "stop":
            assert len(tokens) < 20
            break
    else:
        pytest.fail("no text of 2000 ended with the end-of-text token")


def test_cancelled_requests_leave(tiny_checkpoint: Path) -> None:
    """A request may end before this thread comes to cancel it, so each way gets many tries."""
    model = Model.load(tiny_checkpoint, max_batch=1, threads=1)

    def try_once(seed: int) -> set[str]:
        seen = set()
        batch = [
            model.submit([1], length=1 << 20, sampling=Sampling(0), seed=seed) for _ in range(20)
        ]
        batch[-1].cancel()
        next(batch[0], None)
        running, waiting = model.stats()[:2]
        if running == 1 and waiting > 1:
            seen.add("one runs, others wait")
        batch[0].cancel()
        if list(batch[-1]) == [] and batch[-1].finish_reason == "cancelled":
            seen.add("left the queue")
        if list(batch[0]) and batch[0].finish_reason == "cancelled":
            seen.add("left the batch")
        with batch[1] as left:
            next(left, None)
        list(left)
        if left.finish_reason == "cancelled":
            seen.add("left at the end of the block")
        for generation in batch:
            generation.cancel()
        for generation in batch:
            list(generation)
        return seen

    seen = set().union(*(try_once(100 * seed) for seed in range(30)))
    assert seen == {
        "one runs, others wait",
        "left the queue",
        "left the batch",
        "left at the end of the block",
    }
    assert len(list(model.submit([1], length=3, seed=1))) == 3
    assert model.stats()[:2] == (0, 0)


def test_dropped_requests_leave(tiny_checkpoint: Path) -> None:
    model = Model.load(tiny_checkpoint, max_batch=1)
    for seed in range(20):
        model.submit([1], length=255, seed=seed)  # nobody keeps them
    assert len(list(model.submit([1], length=3, seed=1))) == 3


def test_closing_ends_what_runs(tiny_checkpoint: Path) -> None:
    model = Model.load(tiny_checkpoint, max_batch=2)
    generations = [model.submit([1], length=255, seed=seed) for seed in range(6)]
    next(generations[0])
    model.close()
    model.close()
    for generation in generations:
        list(generation)
        assert generation.finish_reason in ("cancelled", "length", "stop")
    with pytest.raises(RuntimeError, match="closed"):
        model.submit([1], length=1, seed=1)
    with pytest.raises(RuntimeError, match="closed"):
        model.logits([1])


def test_a_generation_outlives_the_last_reference_to_its_model(tiny_checkpoint: Path) -> None:
    expected = run(Model.load(tiny_checkpoint), ([1, 2], 100, Sampling(), 9))
    generation = Model.load(tiny_checkpoint).submit([1, 2], length=100, seed=9)
    assert list(generation) == expected


@pytest.mark.parametrize(
    ("prompt", "length", "seed"),
    [([], 5, 1), ([341], 5, 1), ([-1], 5, 1), ([1], 0, 1), ([1], 2**21, 1), ([1], 5, -1)]
    + [([1], 5, 2**32)],
)
def test_requests_that_cannot_be(model: Model, prompt: list[int], length: int, seed: int) -> None:
    with pytest.raises(ValueError):
        model.submit(prompt, length=length, seed=seed)


@pytest.mark.parametrize(
    "sampling",
    [Sampling(-1.0), Sampling(float("nan")), Sampling(float("inf")), Sampling(1.0, top_k=-1)]
    + [Sampling(1.0, top_k=2**31), Sampling(1.0, top_p=1.5), Sampling(1.0, top_p=float("nan"))]
    + [Sampling(repetition_penalty=p) for p in (-1.0, 0.0, 0.09, 10.1, float("nan"), float("inf"))],
)
def test_sampling_out_of_range(model: Model, sampling: Sampling) -> None:
    with pytest.raises(ValueError, match="out of range"):
        model.submit([1], length=1, sampling=sampling, seed=1)


def test_the_smallest_temperature_is_greedy(model: Model) -> None:
    greedy = run(model, ([9], 30, Sampling(0), 0))
    for seed in range(5):
        assert run(model, ([9], 30, Sampling(1e-38), seed)) == greedy


@pytest.mark.parametrize(
    "options",
    [
        {"threads": 0},
        {"threads": 257},
        {"max_batch": 0},
        {"max_batch": 1 << 32},
        {"prefix_cache": -1},
    ],
)
def test_nothing_to_run_with(tiny_checkpoint: Path, options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="is not 1 to 256"):
        Model.load(tiny_checkpoint, **options)


def test_closing_waits_for_evaluations(tiny_checkpoint: Path) -> None:
    """Freed under their feet, the weights would crash the process."""
    for _ in range(10):
        model = Model.load(tiny_checkpoint)
        outcomes = []

        def evaluate(model: Model = model, outcomes: list[str] = outcomes) -> None:
            try:
                for _ in range(1000):
                    model.logits([1] * 200)
            except RuntimeError as error:
                outcomes.append(str(error))

        evaluator = threading.Thread(target=evaluate)
        evaluator.start()
        model.close()
        evaluator.join()
        assert outcomes == ["the model is closed"]


def test_leaving_while_daemon_threads_read(tiny_checkpoint: Path) -> None:
    program = f"""
import threading
from engine import Model
model = Model.load({str(tiny_checkpoint)!r}, max_batch=2)
def visit(seed):
    while True:
        list(model.submit([1], length=250, seed=seed))
        model.tokenizer.encode("the lantern " * 50)
for seed in range(20):
    threading.Thread(target=visit, args=(seed,), daemon=True).start()
"""
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr


def window_by_hand(model: Model, prompt: list[int], length: int, penalty: float) -> list[int]:
    """What submit() documents, one greedy token at a time, each from a fresh evaluation."""
    n_ctx = model.hparams.n_ctx
    window = prompt[-max(n_ctx - length, n_ctx // 2) :]
    drawn = []
    for _ in range(length):
        if len(window) > n_ctx:
            window = window[-(n_ctx // 2) :]
        token = int(next_logits(model, window, penalty).argmax())
        if token == model.tokenizer.end_of_text:
            break
        drawn.append(token)
        window.append(token)
    return drawn


@pytest.mark.parametrize("penalty", [1.0, 1.3])
@pytest.mark.parametrize(
    ("n_prompt", "length"),
    [(1, 256), (1, 255), (255, 1), (256, 1), (256, 2), (300, 40), (900, 100), (200, 350), (7, 600)],
)
def test_the_window_slides(model: Model, n_prompt: int, length: int, penalty: float) -> None:
    prompt = [i * i * 31 % 340 for i in range(n_prompt)]
    how = Sampling(0, repetition_penalty=penalty)
    texts = [model.submit(prompt, length=length, sampling=how, seed=0) for _ in range(2)]
    expected = window_by_hand(model, prompt, length, penalty)
    assert [list(text) for text in texts] == [expected] * 2
    assert len(expected) == length or texts[0].finish_reason == "stop"


@given(
    st.lists(st.integers(0, 340), min_size=1, max_size=250),
    st.integers(1, 12),
    st.floats(0.125, 10, width=32),
)
def test_repetition_is_penalised_as_in_transformers(
    model: Model, prompt: list[int], length: int, penalty: float
) -> None:
    how = Sampling(0, repetition_penalty=penalty)
    assert run(model, (prompt, length, how, 0)) == window_by_hand(model, prompt, length, penalty)


def test_a_penalised_story_ends() -> None:
    """Though its first token, end-of-text, is in the window too: penalised, it would end none of
    these within a hundred tokens."""
    model = Model.load(ROOT / "checkpoint" / "run1")
    how = Sampling(0, repetition_penalty=1.3)
    for path in sorted((ROOT / "data" / "sample").glob("*.txt"))[:3]:
        story = model.tokenizer.encode(path.read_text().strip())
        prompt = [model.tokenizer.end_of_text, *story]
        text = model.submit(prompt, length=100, sampling=how, seed=0)
        assert list(text) == window_by_hand(model, prompt, 100, 1.3)
        assert text.finish_reason == "stop"


def test_equal_beginnings_are_computed_once(tiny_checkpoint: Path) -> None:
    """Among samples of one prompt, by a text that continues an ended one, and not from nowhere."""
    model = Model.load(tiny_checkpoint, prefix_cache=1 << 20)
    prompt = [i * 7 % 340 for i in range(150)]
    alone = Model.load(tiny_checkpoint, prefix_cache=0)

    def tokens(model: Model, prompt: list[int], seeds: range) -> list[list[int]]:
        texts = [model.submit(prompt, length=20, seed=seed) for seed in seeds]
        return [list(text) for text in texts]

    before = model.stats()
    assert (before.computed, before.shared) == (0, 0)
    samples = tokens(model, prompt, range(8))
    after = model.stats()
    assert after.shared == 7 * 149
    assert after.computed == 150 + 7 + sum(len(text) for text in samples) - 8
    assert samples == [tokens(alone, prompt, range(i, i + 1))[0] for i in range(8)]
    assert alone.stats().shared == 0

    longest = max(samples, key=len)
    continued = tokens(model, prompt + longest, range(3))
    assert model.stats().shared - after.shared >= 3 * (150 + len(longest) - 1)
    assert continued == [tokens(alone, prompt + longest, range(i, i + 1))[0] for i in range(3)]

    shared = model.stats().shared
    assert tokens(model, [3, *prompt], range(1)) == tokens(alone, [3, *prompt], range(1))
    assert model.stats().shared == shared


@pytest.mark.parametrize("n_prompt", [40, 130])
def test_what_a_cancelled_text_has_computed_is_kept(tiny_checkpoint: Path, n_prompt: int) -> None:
    """Without the room that it had for tokens to come, which would not fit into the cache: its 256
    positions take 86 kB. It may end before this thread comes to cancel it, so it gets many tries.
    """
    for seed in range(50):
        model = Model.load(tiny_checkpoint, prefix_cache=60_000)
        prompt = [i * 7 % 340 for i in range(n_prompt)]
        with model.submit(prompt, length=250 - n_prompt, sampling=Sampling(0), seed=seed) as text:
            next(text)
        if len(list(text)) < 20:
            break
    else:
        pytest.fail("no text of 50 could be cancelled in time")
    list(model.submit(prompt, length=1, seed=0))
    assert model.stats().shared == n_prompt - 1


def test_long_texts_leave_room_for_the_youngest(tiny_checkpoint: Path) -> None:
    """More texts slide their windows than one step reads tokens of a prompt."""
    model = Model.load(tiny_checkpoint, max_batch=96)
    texts = [
        model.submit([1], length=1 << 20, sampling=Sampling(0), seed=0)
        for _ in range(model.hparams.n_ctx // 2)
    ]
    youngest = texts[95]
    assert sum(1 for _, _ in zip(youngest, range(600), strict=False)) == 600
    for text in texts:
        text.cancel()


def test_ten_thousand_texts_leave_memory_as_it_was(tiny_checkpoint: Path) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])  # pages

    model = Model.load(tiny_checkpoint)
    sizes = []
    for start in range(0, 10_000, 500):
        texts = [
            model.submit([1 + i % 300] * (1 + i % 40), length=1 + i % 7, seed=i)
            for i in range(start, start + 500)
        ]
        for text in texts:
            list(text)
        sizes.append(resident())
    # The first rounds fill the prefix cache and the allocator's pools.
    assert sizes[-1] - sizes[4] < 4 << 20 >> 12


def _use(model: Model, running: Generation, answers: "multiprocessing.Queue[str]") -> None:
    uses = (lambda: model.submit([1], length=1, seed=1), lambda: next(running), model.stats)
    for use in uses:
        try:
            use()
        except RuntimeError as error:
            answers.put(str(error))


def test_using_a_model_after_fork_is_an_error_not_a_hang(model: Model) -> None:
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_use, args=(model, model.submit([1], length=9, seed=1), answers))
    child.start()
    for _ in range(3):
        assert "before fork()" in answers.get(timeout=30)
    child.join(30)
    assert child.exitcode == 0
