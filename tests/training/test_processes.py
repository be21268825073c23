"""Several processes: what they cannot do. What they can is tested at train_gpt2.py."""

from pathlib import Path

import pytest

from training import TrainingError
from training.finetune import GPT_2_SIMPLE, TORCH, Paths, finetune
from training.plan import FINE_TUNING


@pytest.mark.parametrize(
    ("engine", "processes", "message"),
    [(GPT_2_SIMPLE, 2, "2 processes need --engine torch"), (TORCH, 6, "which are 5: start fewer")],
)
def test_what_several_processes_cannot_do_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, engine: str, processes: int, message: str
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    paths = Paths([], tmp_path / "run1", tmp_path, "")
    with pytest.raises(TrainingError, match=message):
        finetune("mini", paths, FINE_TUNING, command="", engine=engine, fresh=False, say=print)
    assert not paths.run.exists()
