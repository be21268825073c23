"""Whose the texts are: the attribution, from the crawl to the model made of them.

What a corpus folder's index tells of ``source``, ``url`` and ``license`` becomes the text of
``ATTRIBUTION.txt`` in the folder, of ``train.txt.attribution`` beside a prepared corpus and of
``corpus.attribution`` in a checkpoint: a block of lines for each source, with a blank line
between. The first line of a block says whose the texts are and under which licence.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from corpus.documents import ATTRIBUTION_NAME, CorpusError, read_index, write_aside

IN_CHECKPOINT = "corpus.attribution"

UNSTATED = "licence not stated"  # of a wiki's text whose terms are unknown

NON_COMMERCIAL = (
    "For non-commercial use only: the texts, what is made of them, and a model trained on them."
)
_SHARED_ALIKE = "To be shared alike: what is made of them is under the same licence."
_DETAILS = "Title, URL and revision of each stand in index.jsonl of the corpus folder."

_CREATIVE_COMMONS = re.compile(r"CC (BY(?:-[A-Z]{2})*) (\d\.\d)")
_CREATIVE_COMMONS_URL = re.compile(r"creativecommons\.org/licenses/([a-z-]+)/(\d\.\d)", re.I)
_PUBLIC_DOMAIN_URL = re.compile(r"creativecommons\.org/publicdomain/zero/(\d\.\d)", re.I)
_NON_COMMERCIAL = re.compile(r"\bnon-?\s?commercial\b|\bBY-NC\b", re.I)
_SHARE_ALIKE = re.compile(r"\bshare-?\s?alike\b|\bBY(?:-NC)?-SA\b", re.I)


def license_name(text: str | None, url: str | None) -> str | None:
    """A licence in short, for the index, from the name and address that a wiki gives.

    >>> license_name("Creative Commons", "https://creativecommons.org/licenses/by-sa/4.0/deed.en")
    'CC BY-SA 4.0'
    >>> license_name("CC-BY-SA", "https://www.fandom.com/licensing")
    'CC-BY-SA (https://www.fandom.com/licensing)'
    """
    if match := _CREATIVE_COMMONS_URL.search(url or ""):
        return f"CC {match[1].upper()} {match[2]}"
    if match := _PUBLIC_DOMAIN_URL.search(url or ""):
        return f"CC0 {match[1]}"
    text = " ".join((text or "").split())
    return f"{text} ({url})" if text and url else text or url


def license_ids(text: str) -> list[str]:
    """The Creative Commons licences in an attribution, as SPDX writes them.

    >>> license_ids("A Wiki, CC BY-SA 4.0")
    ['CC-BY-SA-4.0']
    """
    found = (f"CC-{name}-{version}" for name, version in _CREATIVE_COMMONS.findall(text))
    return list(dict.fromkeys(found))


def is_non_commercial(text: str) -> bool:
    """Whether an attribution or the name of a licence forbids commercial use."""
    return bool(_NON_COMMERCIAL.search(text))


@dataclass
class _Source:
    """What an index tells of the texts of one source under one licence."""

    texts: int = 0
    sites: set[str] = field(default_factory=set)
    newest: str = ""


def of_folder(folder: Path) -> str:
    """The attribution of a corpus folder's texts, "" if none is known to be needed.

    Texts whose index names no licence are taken for one's own. Where the index tells nothing at
    all, an ATTRIBUTION.txt that somebody wrote counts.

    Raises CorpusError for a broken index.
    """
    sources: dict[tuple[str, str], _Source] = {}
    for _, _, entry in read_index(folder):
        if not (licence := entry.get("license")):
            continue
        key = _line(entry.get("source") or "Unknown"), _line(licence)
        source = sources.setdefault(key, _Source())
        source.texts += 1
        source.newest = max(source.newest, str(entry.get("date") or "")[:10])
        parts = urlsplit(str(entry.get("url") or ""))
        if parts.scheme and parts.netloc:
            source.sites.add(f"{parts.scheme}://{parts.netloc}")
    blocks = [_block(name, licence, sources[name, licence]) for name, licence in sorted(sources)]
    return "\n".join(blocks) or _read(folder / ATTRIBUTION_NAME)


def _line(value: object) -> str:
    return " ".join(str(value).split())


def _block(name: str, licence: str, source: _Source) -> str:
    site = f" ({source.sites.pop()})" if len(source.sites) == 1 else ""
    plural = "" if source.texts == 1 else "s"
    newest = f", the newest of {source.newest}" if source.newest else ""
    lines = [f"{name}{site}, {licence}", f"{source.texts:,} text{plural} by its authors{newest}."]
    if match := _CREATIVE_COMMONS.fullmatch(licence):
        address = f"https://creativecommons.org/licenses/{match[1].lower()}/{match[2]}/"
        lines.append(f"Licence: {address}")
    if is_non_commercial(licence):
        lines.append(NON_COMMERCIAL)
    if _SHARE_ALIKE.search(licence):
        lines.append(_SHARED_ALIKE)
    lines.append(_DETAILS)
    return "\n".join(lines) + "\n"


def update_folder(folder: Path) -> str:
    """Write a corpus folder's ATTRIBUTION.txt anew; returns its text.

    Raises CorpusError for a broken index.
    """
    text = of_folder(folder)
    if text:
        _write(folder / ATTRIBUTION_NAME, text)
    return text


def beside(corpus: Path) -> Path:
    """Where the attribution of a delimited file stands."""
    return corpus.with_name(f"{corpus.name}.attribution")


def carry(sources: Sequence[Path], corpus: Path) -> str:
    """Write the attribution of all sources, folders or delimited files, beside the file made of
    them; returns it. Without one, there is no such file.

    Raises CorpusError for a broken index.
    """
    text = joined(of_folder(s) if s.is_dir() else of_corpus(s) for s in sources)
    put(beside(corpus), text)
    return text


def of_corpus(corpus: Path) -> str:
    """The attribution that stands beside a delimited file, "" if there is none."""
    return _read(beside(corpus))


def of_checkpoint(checkpoint: Path) -> str:
    """The attribution of the texts that a checkpoint was trained on, "" if there is none."""
    return _read(checkpoint / IN_CHECKPOINT)


def joined(attributions: Iterable[str]) -> str:
    """All blocks of some attributions; of those with the same first line, the last."""
    blocks: dict[str, str] = {}
    for text in attributions:
        for block in re.split(r"\n\s*\n", text.strip()):
            if block:
                blocks[block.partition("\n")[0]] = f"{block}\n"
    return "\n".join(blocks.values())


def put(path: Path, text: str) -> None:
    """Write an attribution; an empty one is no file."""
    if text:
        _write(path, text)
    else:
        path.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    with write_aside(path) as file:
        file.write(text)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: not UTF-8 text ({error.reason})") from error
