"""Archives that tests make, and what is read from them."""

import io
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from corpus.archive import Archive
from corpus.documents import Document
from corpus.importers.source import Item, Source
from corpus.importing import Policy, Report, import_archive, recognise

EVERYTHING = Policy(include_private=True, others=True, keep_personal_data=True)


def made(folder: Path, files: dict[str, bytes | str]) -> Path:
    """A folder with these files in it; text becomes UTF-8."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def zipped(files: dict[str, bytes | str]) -> bytes:
    """A zip with these files in it."""
    file = io.BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def items(path: Path, source: Source) -> list[Item]:
    """What a source finds in all files of a path. Each must be recognised as its."""
    with Archive([path]) as archive:
        assert {recognise(file) for file in archive} == {source}
        return [item for file in archive for item in source.read(file)]


def documents(path: Path, policy: Policy = EVERYTHING) -> tuple[list[Document], Report]:
    """What becomes of a path, each file recognised."""
    report = Report()
    with Archive([path]) as archive:
        return list(import_archive(archive, policy, report)), report


def survives(path: Path, source: Source) -> None:
    """Reading whatever a path holds as of this source, and recognising it, raises nothing."""
    with Archive([path]) as archive:
        for file in archive:
            recognise(file)
        list(import_archive(archive, EVERYTHING, Report(), source=source))
