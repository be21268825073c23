"""An engine's process, as the benchmark sees it."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Self

from bench.engines import Done, Ready, Setup, Work, die_with_parent
from bench.models import ROOT, BenchError


class Worker:
    """A process of `bench.engines`, stopped (SIGSTOP) whenever it has nothing to do."""

    def __init__(self, engine: str, setup: Setup, env: dict[str, str], log: Path) -> None:
        """Starts it and waits until the model is loaded; `log` gets its standard error.

        Raises BenchError.
        """
        self._log = log
        with log.open("w") as errors:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "bench.engines", engine, json.dumps(asdict(setup))],
                cwd=ROOT,
                env=os.environ | {"OMP_NUM_THREADS": str(setup.threads)} | env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # a group of its own, to be signalled as one
                preexec_fn=die_with_parent,  # noqa: PLW1509
            )
        assert self._process.stdin and self._process.stdout  # noqa: S101
        self._questions, self._answers = self._process.stdin, self._process.stdout
        try:
            self.ready = Ready(**json.loads(self._answer()))
            self._signal(signal.SIGSTOP)
        except BaseException:
            self.kill()
            raise

    def run(self, work: Work) -> Done:
        """Raises BenchError unless every request got as many tokens as it should."""
        self._signal(signal.SIGCONT)
        self._questions.write(json.dumps(asdict(work)).encode() + b"\n")
        self._questions.flush()
        done = Done(**json.loads(self._answer()))
        self._signal(signal.SIGSTOP)
        counts = [len(tokens) for tokens in done.tokens]
        if counts != [work.length] * len(work.prompts):
            raise BenchError(f"{min(counts)} to {max(counts)} tokens instead of {work.length}")
        return done

    def kill(self) -> None:
        """Ends it and what it has started."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._questions.close()
        self._answers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _answer(self) -> bytes:
        line = self._answers.readline()
        if not line:
            said = self._log.read_text(errors="replace").strip().splitlines() or ["nothing"]
            raise BenchError(f"the process ended: {said[-1]} (all in {self._log})")
        return line

    def _signal(self, number: signal.Signals) -> None:
        os.killpg(self._process.pid, number)
