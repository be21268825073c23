"""The machine that something is measured on, and the memory of its processes. Linux only."""

import os
import platform
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.models import BenchError

_TOO_BUSY = 0.1


def machine() -> dict[str, str]:
    """What runs where and when."""
    cpuinfo = dict(
        line.split("\t", 1)
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "\t" in line
    )
    processor = {name: value.strip().removeprefix(": ") for name, value in cpuinfo.items()}
    flags = [
        flag
        for flag in ("avx2", "avx_vnni", "avx512f", "avx512_vnni")
        if flag in processor.get("flags", "").split()
    ]
    model = f"{processor.get('model name', '?')}, family {processor.get('cpu family', '?')}"
    return {
        "processor": f"{model}, {os.cpu_count()} cores ({' '.join(flags)})",
        "system": f"Linux {platform.release()}, Python {platform.python_version()}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def busy(seconds: float) -> float:
    """The share of the processors' time that others use, the hypervisor included; 0 to 1."""

    def times() -> list[int]:
        line = Path("/proc/stat").read_text().partition("\n")[0]
        return [
            int(field) for field in line.split()[1:9]
        ]  # user nice system idle iowait irq... steal

    before = times()
    time.sleep(seconds)
    spent = [after - b for after, b in zip(times(), before, strict=True)]
    return 1 - (spent[3] + spent[4]) / max(sum(spent), 1)


def require_idle() -> None:
    """Raises BenchError where the processors have other things to do."""
    share = busy(2)
    if share > _TOO_BUSY:
        raise BenchError(f"the processors are {share:.0%} busy; wait, or insist with --busy")


@dataclass(frozen=True)
class Memory:
    """What processes hold, in bytes."""

    rss: int
    """Resident; a page that several of them share counts for each."""
    pss: int
    """Resident; of a page that several processes share each has its part."""


def memory(pid: int) -> Memory:
    """Of a process and all that it has started. One that has ended holds nothing."""
    rss = pss = 0
    for member in _family(pid):
        try:
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        held = {line.split()[0]: int(line.split()[1]) * 1024 for line in lines[1:]}
        rss += held["Rss:"]
        pss += held["Pss:"]
    return Memory(rss, pss)


def _family(pid: int) -> list[int]:
    members = [pid]
    for member in members:  # which grows meanwhile
        try:
            children = Path(f"/proc/{member}/task/{member}/children").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        members += map(int, children.split())
    return members
