"""Fixtures that several rooms share."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from engine import open_source, write_checkpoint

ROOT = Path(__file__).parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"

# No test depends on timing. Everywhere but in CI each run tries new examples.
settings.register_profile(
    "project",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("project")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="a skipped test fails the run")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if report.skipped and item.config.getoption("--no-skips"):
        report.outcome = "failed"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real files that are not part of the project; a newcomer's clone has none."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the real files in ../shared/data")
    return SHARED_DATA


def make_checkpoint(folder: Path, hparams: dict[str, int], *options: str) -> Path:
    """A random model saved by gpt-2-simple's graph and TensorFlow, in a process of its own."""
    command = [sys.executable, ROOT / "tests" / "make_checkpoint.py", folder, json.dumps(hparams)]
    subprocess.run([*command, *options], check=True, capture_output=True, text=True)
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers, 48 wide (no multiple of 32), 256 tokens of context. Read-only: copy to change."""
    hparams = {"n_ctx": 256, "n_embd": 48, "n_head": 3, "n_layer": 2}
    return make_checkpoint(tmp_path_factory.mktemp("tiny") / "run1", hparams)


@pytest.fixture(scope="session")
def run1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed checkpoint in gpt-2-simple's layout. Read-only."""
    folder = tmp_path_factory.mktemp("committed") / "run1"
    write_checkpoint(open_source(ROOT / "checkpoint" / "run1"), folder)
    return folder
