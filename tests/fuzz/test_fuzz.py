"""The fuzz targets stay alive: what they once found is tried again, and some new inputs.

`make fuzz` tries them for longer.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fuzz.run import C_TARGETS, FINDINGS, PYTHON_TARGETS, build, fuzz, write_seeds

RUNS = {"bpe": 3000, "ggml_types": 20000, "importers": 300, "packed": 300}
"""A few seconds each; 1000 of the others."""


@pytest.fixture(scope="module")
def c_targets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    if not shutil.which("clang"):
        pytest.skip("clang is not installed")
    program = "int LLVMFuzzerTestOneInput(void) { return 0; }"
    command = ["clang", "-fsanitize=fuzzer,address", "-x", "c", "-o", folder / "empty", "-"]
    if subprocess.run(command, input=program, capture_output=True, text=True).returncode != 0:
        pytest.skip("clang has no libFuzzer: install libclang-rt-dev")
    build(folder, "-O0")  # with sanitizers, optimising the kernels takes a minute
    return folder


@pytest.fixture(params=C_TARGETS + PYTHON_TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def built(target: str, request: pytest.FixtureRequest) -> Path:
    if target in C_TARGETS:
        return Path(request.getfixturevalue("c_targets"))
    pytest.importorskip("atheris")
    return Path()


def test_what_was_found_stays_fixed(target: str, built: Path) -> None:
    findings = sorted((FINDINGS / target).glob("*"))
    if findings:
        assert fuzz(target, built, *findings) == 0


def test_new_inputs(target: str, built: Path, tmp_path: Path) -> None:
    write_seeds(target, tmp_path / "corpus")
    options = [f"-runs={RUNS.get(target, 1000)}", "-seed=1", f"-artifact_prefix={tmp_path}/"]
    assert fuzz(target, built, *options, tmp_path / "corpus") == 0
