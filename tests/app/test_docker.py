"""The container's recipe, where it cannot be built."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_hadolint_finds_nothing() -> None:
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside) if beside.exists() else shutil.which("hadolint")
    if not hadolint:
        pytest.skip("needs hadolint")
    subprocess.run([hadolint, ROOT / "Dockerfile"], check=True)


def test_base_images_are_pinned() -> None:
    images = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    images += re.findall(r"image: (\S+)", (ROOT / "docker-compose.yml").read_text())
    assert len(images) == 3
    for image in images:
        assert re.search(r":\d+\.\d+\.\d+-", image)
