"""Fuzzes what reads strangers' bytes, with libFuzzer.

    make fuzz                                 every target for ten minutes, one after the other
    make fuzz ARGS='bpe gguf --seconds 60'    these for a minute each

The targets are fuzz_*.c, with AddressSanitizer and UndefinedBehaviorSanitizer around the whole C
library, and fuzz_*.py, with atheris. An input that crashes, raises what it should not, or takes too
much memory or time ends the run and lies in findings/<target>/, where test_fuzz.py tries it ever
after. Needs clang with its runtime libraries (Debian's libclang-rt-14-dev).

What was learned is kept in build/fuzz/corpus/<target>, and the next run goes on from there.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import ROOT
from tests.fuzz.seeds import seeds

HERE = Path(__file__).parent
FINDINGS = HERE / "findings"
C_TARGETS = sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.c"))
PYTHON_TARGETS = sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py"))

_SOURCES = sorted((ROOT / "engine" / "csrc").glob("*.c"))
_COMPILE = ["clang", "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-ffp-contract=off", "-pthread"]
_COMPILE += ["-fno-math-errno", "-Wall", "-Wextra", "-Werror", "-Wno-psabi", "-g"]
_COMPILE += ["-fno-sanitize-recover=all"]
_LIMITS = ["-rss_limit_mb=2048", "-max_len=40000"]  # bytes of an input
_TIMEOUTS = ["-timeout=60", "-report_slow_units=60"]  # seconds for one input


def build(folder: Path, optimise: str = "-O1") -> None:
    """Compiles the C targets into an existing folder. Raises CalledProcessError."""
    compiler = [*_COMPILE, optimise]
    sanitizers = "-fsanitize=fuzzer-no-link,address,undefined"
    subprocess.run([*compiler, sanitizers, "-c", *_SOURCES], cwd=folder, check=True)
    objects = [f"{source.stem}.o" for source in _SOURCES]
    sanitizers = "-fsanitize=fuzzer,address,undefined"
    for target in C_TARGETS:
        command = [*compiler, sanitizers, "-o", target, HERE / f"fuzz_{target}.c", *objects, "-lm"]
        subprocess.run(command, cwd=folder, check=True)


def fuzz(target: str, built: Path, *options: str | Path) -> int:
    """Runs a target with libFuzzer's options, and files to try or folders of them.

    built: where `build` has compiled the C targets. Returns 0 where nothing was found.
    """
    if target in C_TARGETS:
        program: list[str | Path] = [built / target]
    else:
        program = [sys.executable, "-m", f"tests.fuzz.fuzz_{target}"]
    in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=in_memory) as scratch:
        environment = os.environ | {"TMPDIR": scratch}
        command = [*program, *_LIMITS, *options]
        return subprocess.run(command, cwd=ROOT, env=environment).returncode


def write_seeds(target: str, folder: Path) -> None:
    """Makes the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in seeds(target).items():
        (folder / name).write_bytes(content)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    all_targets = sorted(C_TARGETS + PYTHON_TARGETS)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(all_targets))
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    args = parser.parse_args()
    if unknown := sorted(set(args.targets) - set(all_targets)):
        parser.error(f"{', '.join(unknown)}: choose from {', '.join(all_targets)}")
    built = ROOT / "build" / "fuzz"
    built.mkdir(parents=True, exist_ok=True)
    build(built)
    for target in args.targets or all_targets:
        corpus, findings = built / "corpus" / target, FINDINGS / target
        write_seeds(target, corpus)
        findings.mkdir(parents=True, exist_ok=True)
        print(f"== {target}: {args.seconds} s", flush=True)
        options = [f"-max_total_time={args.seconds}", *_TIMEOUTS, "-print_final_stats=1"]
        options.append(f"-artifact_prefix={findings}{os.sep}")
        if fuzz(target, built, *options, corpus, findings) != 0:
            print(f"{target}: the input lies in {findings}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
