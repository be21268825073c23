"""memory: what is predicted against what processes take, and how work is made to fit."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from engine import HParams
from training import TrainingError, memory
from training.base import PUBLISHED
from training.finetune import Corpus, Paths, finetune
from training.memory import Work, fit, peak
from training.plan import FINE_TUNING

ROOT = Path(__file__).parents[2]
GPT2 = Work(PUBLISHED["124M"], windows=4, length=1024, torch=True, accumulates=True)
MEASURE = """
import json, sys
from pathlib import Path
import numpy as np
from engine import HParams
from training.memory import Work

def kilobytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

values = json.loads(sys.argv[1])
hparams = HParams(**values.pop("hparams"))
work = Work(hparams, **values)
if work.torch:
    from training.pytorch import PyTorch
    imported = kilobytes("VmRSS")
    trainer = PyTorch(hparams, seed=1, bfloat16=work.bfloat16, recompute=work.recompute)
else:
    from training.gpt2simple import Gpt2Simple
    imported = kilobytes("VmRSS")
    trainer = Gpt2Simple(hparams, seed=1)
random = np.random.default_rng(1)
shape = (2, work.windows, work.length)
for _ in range(2):
    trainer.step(random.integers(0, hparams.n_vocab, shape, dtype=np.int32), 1e-4)
print(1024 * imported, 1024 * kilobytes("VmHWM"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("options", [{"torch": False}, {"torch": True, "recompute": True}])
def test_the_peak_is_what_a_process_takes(options: dict[str, bool]) -> None:
    hparams = HParams(n_vocab=16384, n_ctx=256, n_embd=256, n_head=4, n_layer=4)
    work = Work(hparams, windows=2, length=256, accumulates=True, **options)
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps(asdict(work))],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        check=True,
    )
    imported, most = map(int, measured.stdout.split())
    assert imported + peak(work) == pytest.approx(most, rel=0.2)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_container_has_less_than_its_machine(tmp_path: Path) -> None:
    assert memory.available(tmp_path) is None
    write(tmp_path, {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable: 8000 kB\n"})
    assert memory.available(tmp_path) == 8000 * 1024
    # Version 2: the group has no limit, the one that it lies in has.
    group = "sys/fs/cgroup/system.slice"
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/system.slice/train.service\n",
            f"{group}/train.service/memory.max": "max\n",
            f"{group}/train.service/memory.current": "1000\n",
            f"{group}/memory.max": "5000000\n",
            f"{group}/memory.current": "3000000\n",
            f"{group}/memory.stat": "anon 100\ninactive_file 1000000\n",
        },
    )
    assert memory.available(tmp_path) == 3000000
    # Version 1 in a container, which does not see the path that its group has on the host.
    write(
        tmp_path,
        {
            "proc/self/cgroup": "4:cpu,memory:/docker/0123\n1:cpu:/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "4000000\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "3500000\n",
            "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 20000\n",
        },
    )
    assert memory.available(tmp_path) == 520000


def test_work_is_cut_until_it_fits() -> None:
    said: list[str] = []
    for free, windows, recompute in (
        (None, 4, False),
        (10e9, 4, False),
        (7e9, 2, False),
        (5e9, 1, False),
        (3.5e9, 4, True),
        (2.8e9, 1, True),
    ):
        work = fit(GPT2, free and int(free), said.append)
        assert (work.windows, work.recompute) == (windows, recompute)
    assert said[1:6] == [
        "Training takes about 8.8 GB of memory; 10.0 GB are free.",
        "Training takes about 5.5 GB of memory; 7.0 GB are free.",
        "To fit, a batch's 4 windows are computed 2 at a time.",
        "Training takes about 3.8 GB of memory; 5.0 GB are free.",
        "To fit, a batch's 4 windows are computed 1 at a time.",
    ]


@pytest.mark.parametrize(
    ("work", "free", "advice"),
    [
        (replace(GPT2, torch=False), 3e9, "--engine torch or --model"),
        (replace(GPT2, torch=False), 5e9, r"--engine torch or --short-windows 1 \(to position 256"),
        (replace(GPT2, hparams=PUBLISHED["355M"]), 3e9, "--model 124M or --model"),
        (GPT2, 1e8, "free some more"),
    ],
)
def test_what_does_not_fit_is_refused_with_advice(work: Work, free: float, advice: str) -> None:
    with pytest.raises(TrainingError, match=rf"even one window at a time, and \d.\d GB .*{advice}"):
        fit(work, int(free), print)


def test_training_asks_for_memory_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, corpus: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 10**7)
    paths = Paths([Corpus(corpus, None, 5, 1e-3)], tmp_path / "run1", tmp_path, "")
    with pytest.raises(TrainingError, match="GB are free"):
        finetune(
            str(tiny_checkpoint),
            paths,
            FINE_TUNING,
            command="",
            engine="torch",
            fresh=False,
            say=print,
        )
    assert not (paths.run / "checkpoint").exists()
