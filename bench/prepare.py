"""How fast texts become a training file, and in how much memory.

Ours (corpus/preparation.py): exact cleaning and duplicates; with near-duplicates and repeated lines
on top; and with all filters. Beside it what the ancestors' scripts did, which read all files,
ran regular expressions over them and joined them without a delimiter; and MinHash as pure Python
libraries have it (datasketch's algorithm: SHA-1 of each run of five words, 128 permutations in
NumPy), as text-dedup uses it. Neither does what ours does: the first repairs no encoding and drops
nothing, the second does not clean. A plain `str.split()` of the same texts shows how fast the
machine is.

Each runs in a process of its own, on one core; in each round all of them, one after the other, on
a quarter of the corpus and on all of it, so that a memory that grows with the corpus shows. Speeds
are of processor time, medians over the rounds. Linux only.
"""

import argparse
import hashlib
import json
import multiprocessing
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from bench.arguments import counts, parse
from bench.machine import machine, require_idle
from bench.models import ROOT, BenchError
from bench.report import table
from corpus.documents import CorpusError, RawText, read_texts, text_files
from corpus.preparation import prepare

EXAMPLES = """\
examples:
  python -m bench.prepare
      40 MB made of the sample's sentences
  python -m bench.prepare --corpus ~/books --rounds 5
      a corpus folder of one's own
"""

_DOCUMENT = 16_000  # characters of a made one
_COPIES = 50  # one in so many is a near-copy of an earlier one
_PRIME, _PERMUTATIONS = (1 << 61) - 1, 128


@dataclass(frozen=True)
class Measured:
    """One run on one part of the corpus."""

    entrant: str
    part: str
    """The quarter, or all."""
    megabytes: float
    seconds: float
    memory: int
    """Peak, in bytes."""
    documents: int
    """That are left."""


def plain_split(folder: Path, files: int, _: Path) -> int:
    """The yardstick: read and split, nothing else."""
    return sum(1 for text in _texts(folder, files) if text.text.split())


def ancestor(folder: Path, files: int, out: Path) -> int:
    """Read all, run regular expressions over all, join."""
    texts = [text.text for text in _texts(folder, files)]
    joined = "\n".join(texts)
    for pattern, plain in (
        (r"<[^>]+>", ""),
        (r"\[[^\]]*\]", ""),
        (r"[\u2018\u2019]", "'"),
        (r"[\u201c\u201d]", '"'),
        (r"[^\x00-\x7f]+", " "),
        (r"[ \t]+", " "),
        (r"\n\s*\n", "\n"),
    ):
        joined = re.sub(pattern, plain, joined)
    (out / "train.txt").write_text(joined, encoding="utf-8")
    return len(texts)


def python_minhash(folder: Path, files: int, _: Path) -> int:
    """Near-duplicates alone, by SHA-1 and NumPy, in 16 bands of 8 rows."""
    generator = np.random.default_rng(1)
    a, b = generator.integers(1, _PRIME, (2, _PERMUTATIONS, 1), dtype=np.uint64)
    bands: set[tuple[int, bytes]] = set()
    left = 0
    for text in _texts(folder, files):
        words = text.text.lower().split()
        runs = {" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4))}
        hashes = np.array(
            [
                int.from_bytes(hashlib.sha1(run.encode(), usedforsecurity=False).digest()[:4])
                for run in runs
            ],
            dtype=np.uint64,
        )
        smallest = np.full(_PERMUTATIONS, _PRIME, dtype=np.uint64)
        for start in range(0, len(hashes), 1000):  # or a book needs gigabytes
            permuted = (hashes[start : start + 1000] * a + b) % np.uint64(_PRIME)
            smallest = np.minimum(smallest, (permuted & np.uint64(0xFFFFFFFF)).min(axis=1))
        keys = {(band, smallest[8 * band : 8 * band + 8].tobytes()) for band in range(16)}
        left += keys.isdisjoint(bands)
        bands |= keys
    return left


def ours(folder: Path, files: int, out: Path, **filters: bool | str) -> int:
    """corpus.preparation, without the copy index, which has no counterpart."""
    texts = _texts(folder, files)
    report = prepare(texts, out / "train.txt", out / "valid.txt", **filters)  # type: ignore[arg-type]
    return report.train.documents + report.valid.documents


ENTRANTS: dict[str, Callable[[Path, int, Path], int]] = {
    "str.split()": plain_split,
    "ours, exact": ours,
    "ours, near-duplicates": partial(ours, near_duplicates=True, repeated_lines=True),
    "ours, all filters": partial(
        ours, near_duplicates=True, repeated_lines=True, quality=True, language="en"
    ),
    "the ancestor's": ancestor,
    "MinHash in Python": python_minhash,
}


def _texts(folder: Path, files: int) -> Iterator[RawText]:
    """The first so many."""
    for text, _ in zip(read_texts(folder), range(files), strict=False):
        yield text


def make_corpus(folder: Path, megabytes: int) -> None:
    """Documents of the sample's sentences in an order of their own, and some near-copies."""
    aside = folder.with_name(f".{folder.name}.part")  # or an interrupted one would pass for whole
    aside.mkdir(parents=True, exist_ok=True)
    sample = " ".join(text.text for text in read_texts(ROOT / "data" / "sample"))
    sentences = re.split(r"(?<=[.!?])\s+", sample)
    generator = np.random.default_rng(1)
    document: list[str] = []
    for number in range(megabytes * 1_000_000 // _DOCUMENT):
        if number % _COPIES or not document:
            document, length = [], 0
            while length < _DOCUMENT:
                document.append(sentences[generator.integers(len(sentences))])
                length += len(document[-1])
        else:
            document = [*document, "The end."]
        paragraphs = (" ".join(document[i : i + 5]) for i in range(0, len(document), 5))
        (aside / f"{number:06}.txt").write_text("\n\n".join(paragraphs), encoding="utf-8")
    aside.rename(folder)


def measure(entrant: str, folder: Path, share: float, out: Path) -> Measured:
    """Run an entrant on a share of the corpus; for a process of its own."""
    files = text_files(folder)[: max(1, round(share * len(text_files(folder))))]
    size = sum(path.stat().st_size for path in files)
    start = time.process_time()
    left = ENTRANTS[entrant](folder, len(files), out)
    seconds = time.process_time() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    part = "all" if share == 1 else "quarter"
    return Measured(entrant, part, size / 1e6, seconds, memory, left)


def run(folder: Path, rounds: int) -> list[Measured]:
    """All entrants, so many times."""
    results = []
    context = multiprocessing.get_context("spawn")
    for _ in range(rounds):
        for entrant in ENTRANTS:
            for share in (0.25, 1):
                with (
                    tempfile.TemporaryDirectory() as out,
                    ProcessPoolExecutor(1, mp_context=context) as process,
                ):
                    task = process.submit(measure, entrant, folder, share, Path(out))
                    results.append(task.result())
    return results


def markdown(results: Sequence[Measured]) -> str:
    """The table."""

    def of(entrant: str, part: str) -> list[Measured]:
        return [one for one in results if (one.entrant, one.part) == (entrant, part)]

    def speed(entrant: str) -> float:
        return median(one.megabytes / one.seconds for one in of(entrant, "all"))

    yardstick = speed("str.split()")
    rows = [
        (
            entrant,
            f"{speed(entrant):.1f}",
            f"{speed(entrant) / yardstick:.2f}",
            *(
                f"{median(one.memory for one in of(entrant, part)) / 1e6:.0f} MB"
                for part in ("quarter", "all")
            ),
            f"{of(entrant, 'all')[0].documents:,}",
        )
        for entrant in ENTRANTS
    ]
    size = of("str.split()", "all")[0].megabytes
    header = ("", "MB/s", "of str.split()", "memory, a quarter of it", f"{size:.0f} MB", "left")
    return table(header, rows)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, help="a folder of texts; default: one is made")
    parser.add_argument("--megabytes", type=counts, default=[40], help="of the made one; 40")
    parser.add_argument("--rounds", type=counts, default=[3], help="default 3")
    args = parse(parser, arguments, "prepare.json")
    try:
        if not args.busy:
            require_idle()
        folder = args.corpus
        if folder is None:
            folder = args.cache / f"corpus{args.megabytes[0]}"
            if not folder.exists():
                make_corpus(folder, args.megabytes[0])
        if not text_files(folder):
            raise BenchError(f"{folder}: no texts")
        results = run(folder, args.rounds[0])
    except (BenchError, CorpusError, OSError) as error:
        print(f"bench.prepare: {error}", file=sys.stderr)
        return 1
    args.json.parent.mkdir(parents=True, exist_ok=True)
    numbers = {"machine": machine(), "runs": [asdict(one) for one in results]}
    args.json.write_text(json.dumps(numbers, indent=1) + "\n")
    print(", ".join(machine().values()) + "\n")
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
