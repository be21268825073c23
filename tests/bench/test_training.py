"""bench.training: that all do the same work; nothing here depends on speed."""

import json
from pathlib import Path

import pytest

from bench import models
from bench.training import (
    ENTRANTS,
    ORIGINAL,
    OURS,
    TORCH_BFLOAT16,
    TORCH_FLOAT32,
    Trained,
    Work,
    main,
    markdown,
    run,
)
from engine import HParams

HPARAMS = HParams(n_vocab=300, n_ctx=1024, n_embd=16, n_head=2, n_layer=1)


def test_all_train_on_the_same_batches(tmp_path: Path) -> None:
    checkpoint = models.random_checkpoint(tmp_path, "tiny", HPARAMS)
    results = run(Work("tiny", checkpoint, steps=3), 1, list(ENTRANTS))
    assert [one.entrant for one in results] == list(ENTRANTS)
    losses = {one.entrant: one.losses for one in results}
    assert len(set(losses[ORIGINAL])) == 3
    for name in (OURS, TORCH_FLOAT32):
        assert losses[name] == pytest.approx(losses[ORIGINAL], abs=1e-4)
    assert losses[TORCH_BFLOAT16] == pytest.approx(losses[ORIGINAL], abs=1e-2)
    assert losses[TORCH_BFLOAT16] != losses[TORCH_FLOAT32]
    for one in results:
        assert one.speed > 0
        assert one.memory > 1e8


def test_the_table_compares_with_the_first() -> None:
    results = [
        Trained("mini", name, speed, losses, memory=2 * 10**9)
        for name, speed, losses in (
            (ORIGINAL, 100.0, [8.0, 7.0]),
            (OURS, 150.0, [8.0, 7.25]),
            (ORIGINAL, 100.0, [8.0, 7.0]),
            (OURS, 250.0, [8.0, 7.25]),
        )
    ]
    header, _, first, second = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in markdown(results).splitlines()
    )
    assert header[0] == "mini"
    assert first == [ORIGINAL, "100", "**1.00** (1.00-1.00)", "2,000 MB", "0.00000"]
    assert second == [OURS, "200", "**2.00** (1.50-2.50)", "2,000 MB", "0.25000"]


def test_without_a_gpu_what_needs_one_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["--only", "gpu", "--busy", "--cache", str(tmp_path)]) == 0
    assert "no GPU: transformers' Trainer is left out" in capsys.readouterr().err
    assert json.loads((tmp_path / "training.json").read_text())["runs"] == []
