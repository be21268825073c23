"""The C library alone: sanitizers find nothing, and every build gives the same numbers."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SOURCES = [*sorted((HERE.parents[1] / "engine" / "csrc").glob("*.c")), HERE / "exercise.c"]
STRICT = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-ffp-contract=off", "-fno-math-errno"]
STRICT += ["-Wall", "-Wextra", "-Werror", "-Wno-psabi", "-g", "-pthread"]


def build(folder: Path, *options: str, compiler: str = "cc") -> Path:
    program = folder / "exercise"
    command = [compiler, *STRICT, *options, "-o", program, *SOURCES, "-lm"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return program


def run(program: Path, kernel: str) -> str:
    done = subprocess.run(
        [program], capture_output=True, text=True, env=os.environ | {"GPT2_KERNEL": kernel}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def has_sanitizer(name: str, folder: Path) -> bool:
    (folder / "empty.c").write_text("int main(void) { return 0; }")
    command = ["cc", f"-fsanitize={name}", "-o", folder / "empty", folder / "empty.c"]
    return (
        subprocess.run(command, capture_output=True).returncode == 0
        and subprocess.run([folder / "empty"], capture_output=True).returncode == 0
    )


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run(build(tmp_path_factory.mktemp("plain"), "-O3"), "portable")


@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_sanitizers_find_nothing(sanitizers: str, expected: str, tmp_path: Path) -> None:
    if not has_sanitizer(sanitizers, tmp_path):
        pytest.skip(f"the C compiler has no -fsanitize={sanitizers}")
    program = build(tmp_path, "-O1", f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all")
    for kernel in ("avx512", "avx2", "portable"):
        assert run(program, kernel) == expected


@pytest.mark.parametrize(("compiler", "level"), [("gcc", "-O0"), ("clang", "-O3")])
def test_compiler_and_optimisation_change_nothing(
    compiler: str, level: str, expected: str, tmp_path: Path
) -> None:
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    program = build(tmp_path, level, compiler=compiler)
    for kernel in ("avx512", "avx2", "portable"):
        assert run(program, kernel) == expected


def test_a_processor_without_any_of_our_intrinsics(expected: str, tmp_path: Path) -> None:
    """64-bit Arm, emulated: the portable kernels, rounding and threads of another machine."""
    compiler, emulator = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
    if not compiler or not emulator:
        pytest.skip("needs gcc-aarch64-linux-gnu and qemu-user")
    program = build(tmp_path, "-O2", "-static", compiler=compiler)
    done = subprocess.run([emulator, program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, expected), done.stderr
