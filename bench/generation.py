"""Compare the speed of GPT-2 engines on this machine, side by side.

Every engine runs in a process of its own. In each round each of them does the same work, one after
the other, while the others are stopped, so that a noisy minute hits all alike; work that is done
sooner than in a second is repeated with other prompts. What is reported are medians over the
rounds; a ratio is the median of the rounds' ratios. Linux only.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from bench import models
from bench.arguments import among, counts, parse
from bench.engines import Setup, Work
from bench.machine import busy, machine, require_idle
from bench.models import ROOT, BenchError, Formats
from bench.quality import evaluate, held_out
from bench.report import Case, Entrant, Process, Results, Round, markdown
from bench.worker import Worker
from corpus.documents import CorpusError
from engine import CheckpointError

# What CTranslate2 and its oneDNN obey. The wheel of llama.cpp is compiled for AVX2.
_AVX2 = {"CT2_FORCE_CPU_ISA": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"}

ENTRANTS = (
    Entrant("ours", "Ours"),
    Entrant("llama.cpp", "LlamaServer"),
    Entrant("llama.cpp wheel", "LlamaWheel", restricted=True),
    Entrant("CTranslate2", "CTranslate2"),
    Entrant("transformers", "Transformers", rounds=2, streams=(1, 4, 16)),
    Entrant("gpt-2-simple", "Gpt2Simple", rounds=2, streams=(1, 16)),
    Entrant("ours (AVX2)", "Ours", {"GPT2_KERNEL": "avx2"}, restricted=True),
    Entrant("CTranslate2 (AVX2)", "CTranslate2", _AVX2, restricted=True),
    Entrant("ours (portable)", "Ours", {"GPT2_KERNEL": "portable"}, restricted=True, rounds=2),
)
PARTS = ("124M", "prefill", "mini", "process", "quality")
_PROMPT = 6  # tokens

EXAMPLES = """\
examples:
  python -m bench.generation
      everything: half an hour or more on two cores; the first time llama.cpp is compiled, too
  python -m bench.generation --only 124M --streams 1,16 --rounds 3 --engines ours,llama.cpp
      a part of it, in a minute
"""


class Bench:
    """The measurements, and what they need."""

    def __init__(self, entrants: Sequence[Entrant], args: argparse.Namespace) -> None:
        """Raises BenchError where there is no C compiler."""
        self.results = Results({**machine(), "threads": str(args.threads)})
        self._cache: Path = args.cache
        self._rounds: int = args.rounds
        self._seconds: float = args.seconds
        self._threads: int = args.threads
        self._limits = models.limits(self._cache)
        self._server = ""
        self.entrants = []
        for entrant in entrants:
            try:
                if entrant.engine == "LlamaServer":
                    self._server = str(models.llama_server(self._cache))
                self.entrants.append(entrant)
            except BenchError as error:
                self._failed("compiling", entrant, error)

    def case(self, case: Case, formats: Formats) -> None:
        """Measures one row of the tables."""
        self.results.cases.append(case)
        with ExitStack() as stack:
            bar = stack.enter_context(tqdm(desc=case.label, unit="run"))
            workers: dict[Entrant, Worker] = {}
            for entrant in self.entrants:
                if entrant.streams and case.streams not in entrant.streams:
                    continue
                bar.set_postfix_str(f"{entrant.label} starts")
                try:
                    worker = self._start(entrant, formats, case.streams, case.prompt + case.length)
                    stack.callback(worker.kill)
                    self._warm_up(worker, entrant, case)
                    workers[entrant] = worker
                except BenchError as error:
                    self._failed(case.label, entrant, error)
            bar.reset(sum(min(entrant.rounds, self._rounds) for entrant in workers))
            for number in range(self._rounds):
                round_ = Round(busy(0.3), self._measure_limits(case))
                case.rounds.append(round_)
                for entrant in [e for e in workers if number < e.rounds]:
                    bar.set_postfix_str(entrant.label)
                    try:
                        speed = self._speed(workers[entrant], case, number)
                    except BenchError as error:
                        self._failed(case.label, entrant, error)
                        del workers[entrant]
                    else:
                        round_.speeds[entrant.label] = speed
                    bar.update()

    def _speed(self, worker: Worker, case: Case, number: int) -> float:
        """Tokens per second in a round: of the prompts if they are what the case is about."""
        seconds, tokens, repetition = 0.0, 0, 0
        while repetition == 0 or seconds < self._seconds:
            done = worker.run(work(case, case.streams, case.length, number + 1000 * repetition))
            seconds += done.seconds
            tokens += case.streams * (case.length if case.length > 1 else case.prompt)
            repetition += 1
        return tokens / seconds

    def processes(self, formats: Formats, length: int) -> None:
        """Measures whole processes: from their start to the first token, and their memory."""
        # A first token of each fills the file cache.
        case = Case("processes", formats.hparams, 1, _PROMPT, length)
        entrants = [e for e in self.entrants if not e.restricted]
        with tqdm(total=(self._rounds + 1) * len(entrants), desc=case.label, unit="run") as bar:
            for number in range(-1, self._rounds):
                for entrant in list(entrants):
                    bar.set_postfix_str(entrant.label)
                    try:
                        self._process(entrant, formats, case, number)
                    except BenchError as error:
                        self._failed(case.label, entrant, error)
                        entrants.remove(entrant)
                    bar.update()

    def _process(self, entrant: Entrant, formats: Formats, case: Case, number: int) -> None:
        labels = [entrant.label]
        if entrant.engine == "Ours":
            labels.insert(0, f"{entrant.label}, first load")
            for packed in formats.checkpoint.glob("*.packed"):
                packed.unlink()
        context = case.prompt + case.length
        for label in labels:
            started = time.perf_counter()
            with self._start(entrant, formats, 1, context) as worker:
                worker.run(work(case, 1, 1, number))
                seconds = time.perf_counter() - started
                process = self.results.processes.setdefault(label, Process())
                if number >= 0:
                    process.first_token.append(seconds)
                    process.load.append(worker.ready.load)
                else:
                    process.rss[1] = worker.run(work(case, 1, case.length, number)).peak_rss
            if number < 0:
                with self._start(entrant, formats, 16, context) as worker:
                    process.rss[16] = worker.run(work(case, 16, case.length, number)).peak_rss

    def quality(self, checkpoint: Path) -> None:
        """Measures what quantisation costs. Raises CheckpointError and CorpusError."""
        texts = held_out(ROOT / "data" / "sample")
        for weights in ("f32", "q8_0"):
            self.results.quality[weights] = evaluate(checkpoint, texts, weights, self._threads)

    def _start(self, entrant: Entrant, formats: Formats, streams: int, context: int) -> Worker:
        path = {
            "Gpt2Simple": formats.gpt_2_simple,
            "LlamaServer": formats.gguf,
            "LlamaWheel": formats.gguf,
            "CTranslate2": formats.ctranslate2,
            "Transformers": formats.huggingface,
        }.get(entrant.engine, formats.checkpoint)
        setup = Setup(str(path), streams, context, self._threads, self._server)
        log = self._cache / f"{entrant.label.replace(' ', '-')}.log"
        worker = Worker(entrant.engine, setup, entrant.env, log)
        self.results.versions[entrant.label] = worker.ready.version
        return worker

    def _warm_up(self, worker: Worker, entrant: Entrant, case: Case) -> None:
        """And see whether the engine computes the same model as the others do."""
        length = min(16, case.length)
        case.greedy[entrant.label] = worker.run(work(case, 1, length, -1, temperature=0)).tokens[0]
        worker.run(work(case, case.streams, length, -2))

    def _measure_limits(self, case: Case) -> dict[str, float]:
        size = str(case.weight_bytes)
        command = [str(self._limits), str(self._threads), size]
        output = subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603
        measured: dict[str, float] = json.loads(output)
        return measured

    def _failed(self, what: str, entrant: Entrant, error: BenchError) -> None:
        """It is left out; the others go on."""
        self.results.failures.append(f"{entrant.label}, {what}: {error}")
        tqdm.write(self.results.failures[-1], sys.stderr)


def work(case: Case, streams: int, length: int, number: int, temperature: float = 0.7) -> Work:
    """Random prompts: others in each round and for each stream, the same for all engines."""
    chance = random.Random(number)  # noqa: S311
    prompts = [
        chance.choices(range(case.hparams.n_vocab - 1), k=case.prompt) for _ in range(streams)
    ]
    seeds = [chance.randrange(1 << 31) for _ in range(streams)]
    return Work(prompts, seeds, length, temperature)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.generation",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    labels = [entrant.label for entrant in ENTRANTS]
    add("--only", type=among(PARTS), default=PARTS, metavar="PARTS", help=f"of {','.join(PARTS)}")
    add("--engines", type=among(labels), default=labels, metavar="NAMES", help=", ".join(labels))
    add("--streams", type=counts, default=[1, 4, 16, 64], metavar="N,...", help="default 1,4,16,64")
    add("--rounds", type=int, default=5, help="default 5; slow engines do fewer")
    add("--seconds", type=float, default=1, help="of work in a round at least; default 1")
    add("--threads", type=int, default=2, help="of each engine; default 2")
    add("--length", type=int, default=128, help="new tokens of each request; default 128")
    add("--long-prompt", type=int, default=512, help="tokens; default 512")
    add("--checkpoint", type=Path, default=ROOT / "checkpoint" / "run1", help="the mini model")
    args = parse(parser, arguments, "results.json")
    for name in ("rounds", "threads", "length", "long_prompt"):
        if getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')}: must be at least 1")
    if not 0 <= args.seconds < 3600:
        parser.error("--seconds: must be between 0 and 3600")
    return args


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = _parse(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that workers are ended
    try:
        if not args.busy:
            require_idle()
        bench = Bench([e for e in ENTRANTS if e.label in args.engines], args)
        _measure(bench, args)
    except (BenchError, CheckpointError, CorpusError) as error:
        print(f"bench.generation: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. No process is left.", file=sys.stderr)
        return 130
    args.json.write_text(json.dumps(asdict(bench.results), indent=1) + "\n")
    print(markdown(bench.results, [e for e in ENTRANTS if e.label in args.engines]), end="")
    return 0


def _measure(bench: Bench, args: argparse.Namespace) -> None:
    def cases(name: str, formats: Formats) -> None:
        for n in args.streams:
            label = f"{name}, {n} {'request' if n == 1 else 'requests'}"
            bench.case(Case(label, formats.hparams, n, _PROMPT, args.length), formats)

    if {"124M", "prefill", "process"} & set(args.only):
        small = models.export(models.random_124m(args.cache), args.cache)
        if "124M" in args.only:
            cases("124M", small)
        if "prefill" in args.only:
            label = f"124M, prompt of {args.long_prompt} tokens"
            bench.case(Case(label, small.hparams, 1, args.long_prompt, 1), small)
        if "process" in args.only:
            bench.processes(small, args.length)
    if "mini" in args.only:
        cases("mini", models.export(args.checkpoint, args.cache))
    if "quality" in args.only:
        bench.quality(args.checkpoint)


if __name__ == "__main__":
    sys.exit(main())
