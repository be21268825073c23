"""Which words of a text stand in the corpus: the copy index.

A *copy* is a stretch of words of which every RUN in a row stand, in a row, in a document of
``train.txt``; it is as long as that holds. (Where a text passes from one place of the corpus to
another, two copies may share up to RUN - 2 words.) A run of words that several documents have
counts for the first of them; a copy's source is the document that most of its runs count for.

A *word* is a stretch of letters, digits and the marks on them, with inner apostrophes: "don't" is
one word, "half-baked" are two. Case and Unicode's normal forms make no difference (canonical
caseless matching: The Unicode Standard, section 3.13, D145). Where a script writes no blanks, a
phrase is one word.

The index needs no ``train.txt`` to answer: it has a hash of every run. A run that the corpus does
not have is found all the same with a probability of 2**-29, whatever the corpus's size. The file,
in the machine's byte order (another one shows in the version):

    header      see _HEADER
    runs        uint64 each, in the order of their hashes: the upper half is the 32 bits of the hash
                that follow its first ``bits``, the lower half the document's number
    directory   2**bits + 1 uint32: where the runs begin whose hashes have these first bits
    name ends   uint32 each: where in the names a document's ends
    names       UTF-8
"""

import hashlib
import heapq
import mmap
import os
import re
import struct
import unicodedata
from array import array
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, chain, groupby, repeat
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple

from corpus.documents import CorpusError, read_documents, replacing

RUN = 12
"""As many words in a row make a copy."""

IN_CHECKPOINT = "corpus.copies"
"""The index's name in a checkpoint folder."""


def _marks() -> str:
    """The combining marks of all scripts, as ranges: of the many characters beyond U+FFFF by
    themselves the re module would make a slow pattern."""
    marks = (n for n in range(0x300, 0xE0200) if unicodedata.category(chr(n))[0] == "M")
    runs = groupby(enumerate(marks), lambda pair: pair[1] - pair[0])
    ends = ([n for _, n in run] for _, run in runs)
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in ends)


# Letters and digits of the re module are without marks. Most words have none: that is soon told.
_APOSTROPHES = "'\u2019"
_WORD = re.compile(rf"[^\W_]+(?:(?![\0-\u02ff])[{_marks()}]+[^\W_]*|[{_APOSTROPHES}][^\W_]+)*")

_LONGEST_NAME = 80  # characters

# Magic, version, bits; number of runs, of documents; size and SHA-256 of train.txt.
_HEADER = struct.Struct("=8sIIQQQ32s")
_MAGIC = b"\x89COPIES\n"
_VERSION = 1  # of this layout, of what a word is, and of RUN

# A run's hash (Rabin-Karp) is the sum of _BASE**(RUN - 1 - i) * _value(word i), modulo 2**64.
_BASE = 0x9E3779B97F4A7C15
_BASE_TO_RUN = pow(_BASE, RUN, 2**64)
_64_BITS = 2**64 - 1
# The half of an entry that has bits of the hash.
_KEY = 2**64 - 2**32

# While an index is built: a run's hash, and the document's number.
_RECORD = struct.Struct("=QI")
_SORTED_AT_ONCE = 1 << 18


class Copy(NamedTuple):
    """Words of a text that stand in the corpus.

    ``start`` and ``end`` are offsets in the text, in characters; ``source`` is the document's name.
    """

    start: int
    end: int
    words: int
    source: str


class CopyIndex:
    """The runs of a corpus, in a mapped file. Any number of threads may use it."""

    def __init__(self, path: Path, file: memoryview) -> None:
        magic, version, bits, runs, documents, size, digest = _HEADER.unpack_from(file)
        if (magic, version) != (_MAGIC, _VERSION):
            raise CorpusError(f"{path} is no copy index that this version can read")
        self.corpus: tuple[int, bytes] = size, digest
        """Size and SHA-256 of the train.txt that it was built from."""
        ends = [_HEADER.size]
        for length in (8 * runs, 4 * ((1 << min(bits, 32)) + 1), 4 * documents):
            ends.append(ends[-1] + length)
        self._path = path
        if ends[-1] > len(file) or bits > 32:
            raise self._damaged()
        self._bits = bits
        self._runs = file[ends[0] : ends[1]].cast("Q")
        self._directory = file[ends[1] : ends[2]].cast("I")
        self._name_ends = file[ends[2] : ends[3]].cast("I")
        self._names = file[ends[3] :]
        names_end = self._name_ends[-1] if documents else 0
        if self._directory[-1] != runs or len(self._names) != names_end:
            raise self._damaged()
        self.documents = documents
        """How many there are, numbered from 0."""

    @classmethod
    def open(cls, path: Path) -> "CopyIndex":
        """Map an index, which takes no time and no memory of its own, whatever its size.

        Replace the file only by renaming another one, as ``build`` does.

        Raises OSError if it cannot be read, CorpusError if it is not an index, or not whole.
        """
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < _HEADER.size:
                raise CorpusError(f"{path} is no copy index")
            return cls(path, memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))

    def scanner(self) -> "CopyScanner":
        """A scanner for one text."""
        return CopyScanner(self)

    def find(self, text: str) -> list[Copy]:
        """The copies in a text, in order. Raises CorpusError if it finds the file damaged."""
        scanner = self.scanner()
        scanner.feed(text)
        return scanner.finish()

    def document(self, run: int) -> int | None:
        """The number of the first document that has a run of this hash; None: there is none.

        Raises CorpusError if it finds the file damaged.
        """
        first_bits = run >> (64 - self._bits)
        key = run << self._bits & _KEY
        try:
            end = self._directory[first_bits + 1]
            at = bisect_left(self._runs, key, self._directory[first_bits], end)
            document = self._runs[at] ^ key if at < end else _KEY
        except IndexError:
            raise self._damaged() from None
        return document if document < 1 << 32 else None

    def name(self, document: int) -> str:
        """A document's name. Raises CorpusError if it finds the file damaged."""
        if document >= len(self._name_ends):
            raise self._damaged()
        start = self._name_ends[document - 1] if document else 0
        return bytes(self._names[start : self._name_ends[document]]).decode("utf-8", "replace")

    def _damaged(self) -> CorpusError:
        return CorpusError(f"{self._path} is damaged: build it anew")


class CopyScanner:
    """Finds the copies in a text that arrives in pieces; how it is cut makes no difference."""

    def __init__(self, index: CopyIndex) -> None:
        self.copies: list[Copy] = []
        """Found so far, in order: a copy shows with its last needed word, and may grow after."""
        self._index = index
        self._pending = ""  # may be a word's beginning
        self._offset = 0  # of it in the text
        self._window = _Window()
        self._starts: deque[int] = deque(maxlen=RUN)  # of the last words
        self._documents: Counter[int] = Counter()  # of the runs of the copy that is growing

    def feed(self, piece: str) -> None:
        """Go on with the text. Raises CorpusError if it finds the index damaged."""
        self._pending += piece
        self._scan(whole=False)

    def finish(self) -> list[Copy]:
        """End the text, and with it its last word. Raises CorpusError as ``feed`` does."""
        self._scan(whole=True)
        return self.copies

    def _scan(self, whole: bool) -> None:
        text, offset = self._pending, self._offset
        done = len(text)
        for word in _WORD.finditer(text):
            start, end = word.span()
            # What comes next may belong to the word, also after an apostrophe.
            if not whole and (end == done or (end == done - 1 and text[end] in _APOSTROPHES)):
                done = start
                break
            self._add(word[0], offset + start, offset + end)
        self._pending = text[done:]
        self._offset += done

    def _add(self, word: str, start: int, end: int) -> None:
        self._starts.append(start)
        run = self._window.push(word)
        document = None if run is None else self._index.document(run)
        if document is None:
            self._documents.clear()
            return
        start, words = self._starts[0], RUN
        if self._documents:
            start, _, words, _ = self.copies.pop()
            words += 1
        self._documents[document] += 1
        source = self._index.name(max(self._documents, key=self._documents.__getitem__))
        self.copies.append(Copy(start, end, words, source))


def words(text: str) -> list[str]:
    """The words of a text, as they are written there."""
    return _WORD.findall(text)


def index_of(train: Path) -> Path:
    """Where the index of a corpus lies: beside it, ``train.txt.copies`` for ``train.txt``."""
    return train.with_name(f"{train.name}.copies")


def up_to_date(train: Path, index: Path) -> bool:
    """Whether a file is the whole index of this very corpus, wherever the two were copied to.

    Raises OSError if the corpus cannot be read.
    """
    size = train.stat().st_size
    try:
        corpus = CopyIndex.open(index).corpus
    except (CorpusError, OSError):
        return False
    return corpus[0] == size and corpus == _identity(train)


def build(
    train: Path,
    index: Path,
    *,
    titles: Iterable[str | None] = (),
    after: Sequence[Path] = (),
    progress: Callable[[], object] = lambda: None,
) -> None:
    """Write the index of a delimited file, whole or not at all; memory hardly grows with it.

    A document's name is its title, and where there is none its first words. The same documents
    and titles give the same bytes.

    titles: of the documents, in their order. after: the files that were learned before this one,
    in order, whose documents and titles come first. progress: is called after each document.

    Raises OSError.
    """
    corpus = _identity(train)
    names: list[bytes] = []

    def runs() -> Iterator[tuple[int, int]]:
        texts = chain.from_iterable(map(read_documents, (*after, train)))
        documents = zip(texts, chain(titles, repeat(None)), strict=False)
        for number, (text, title) in enumerate(documents):
            names.append(name_of(title, text).encode("utf-8", "replace"))
            window = _Window()
            for word in _WORD.finditer(text):
                if (run := window.push(word[0])) is not None:
                    yield run, number
            progress()

    with (
        TemporaryFile(dir=index.parent) as scratch,
        replacing(index) as aside,
        aside.open("wb") as out,
    ):
        parts = _write_sorted_parts(runs(), scratch)
        # Four to eight runs have the same first bits.
        bits = max(0, (parts[-1][1] // _RECORD.size).bit_length() - 3)
        out.write(bytes(_HEADER.size))
        directory = _write_runs(heapq.merge(*(_read(scratch, part) for part in parts)), bits, out)
        directory.tofile(out)
        array("I", accumulate(map(len, names))).tofile(out)
        out.writelines(names)
        out.seek(0)
        out.write(_HEADER.pack(_MAGIC, _VERSION, bits, directory[-1], len(names), *corpus))


def name_of(title: str | None, text: str) -> str:
    """What a document is called: its title, or else its first words; at most 80 characters."""
    beginning = text[: 2 * _LONGEST_NAME].partition("\n")[0]
    line = " ".join((title or "").split()) or " ".join(beginning.split())
    if len(line) <= _LONGEST_NAME:
        return line
    return line[: _LONGEST_NAME - 3].rsplit(" ", 1)[0] + "..."


class _Window:
    """The last RUN words."""

    def __init__(self) -> None:
        self._values: deque[int] = deque(maxlen=RUN)
        self._hash = 0

    def push(self, word: str) -> int | None:
        """Add a word; returns the hash of the last RUN words if there are as many."""
        value, values = _value(word), self._values
        # A word that has left had taken part RUN words ago, and been multiplied since.
        left = values[0] * _BASE_TO_RUN if len(values) == RUN else 0
        values.append(value)
        self._hash = (self._hash * _BASE + value - left) & _64_BITS
        return self._hash if len(values) == RUN else None


@lru_cache(1 << 14)
def _value(word: str) -> int:
    """64 bits that stand for a word, however it is written."""
    if not word.isascii():
        word = unicodedata.normalize("NFD", word)
    folded = unicodedata.normalize("NFD", word.casefold().replace("\u2019", "'"))
    return int.from_bytes(hashlib.blake2b(folded.encode(), digest_size=8).digest())


def _identity(train: Path) -> tuple[int, bytes]:
    with train.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        return file.tell(), digest


def _write_sorted_parts(
    runs: Iterable[tuple[int, int]], scratch: IO[bytes]
) -> list[tuple[int, int]]:
    """Write runs' hashes and documents, sorted in parts; returns where each begins and ends.

    Of a part's runs that are the same the first one stays.
    """
    parts = []
    part: dict[int, int] = {}

    def write() -> None:
        begin = scratch.tell()
        order = sorted(part)
        scratch.writelines(map(_RECORD.pack, order, map(part.__getitem__, order)))
        parts.append((begin, scratch.tell()))
        part.clear()

    for run, document in runs:
        part.setdefault(run, document)
        if len(part) == _SORTED_AT_ONCE:
            write()
    write()
    return parts


def _read(scratch: IO[bytes], part: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The records of a part; several may be read at the same time."""
    block = 1024 * _RECORD.size
    for at in range(*part, block):
        scratch.seek(at)
        yield from _RECORD.iter_unpack(scratch.read(min(block, part[1] - at)))


def _write_runs(runs: Iterable[tuple[int, int]], bits: int, out: IO[bytes]) -> "array[int]":
    """Write sorted runs, of the same ones the first; returns the directory."""
    directory, entries = array("I"), array("Q")
    count, last = 0, -1
    for run, document in runs:
        known = run >> (32 - bits)
        if known == last:
            continue
        last = known
        directory.extend(repeat(count, (known >> 32) + 1 - len(directory)))
        entries.append(run << bits & _KEY | document)
        count += 1
        if len(entries) == 1 << 16:
            entries.tofile(out)
            del entries[:]
    entries.tofile(out)
    directory.extend(repeat(count, (1 << bits) + 1 - len(directory)))
    return directory
