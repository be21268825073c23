"""Archives made of a few files."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from corpus.archive import Archive
from corpus.importers.source import Item
from corpus.importing import recognise

Files = dict[str, bytes]


@pytest.fixture(scope="session")
def make_tree(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Files], Path]:
    """A folder with these files."""

    def make(files: Files) -> Path:
        root = tmp_path_factory.mktemp("archive")
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return root

    return make


@pytest.fixture(scope="session")
def sources_of() -> Callable[[Path], dict[str, str | None]]:
    """The names of the sources that recognise the files below a path."""

    def sources(path: Path) -> dict[str, str | None]:
        with Archive([path]) as archive:
            found = {
                str(file.path.relative_to(path.name)): recognise(file)
                for file in archive
                if str(file.path) != path.name
            }
        return {name: source and source.name for name, source in found.items()}

    return sources


@pytest.fixture(scope="session")
def items_of() -> Callable[[Path], list[Item]]:
    """All that the sources that recognise the files below a path find in them."""

    def items(path: Path) -> list[Item]:
        found: list[Item] = []
        with Archive([path]) as archive:
            for file in archive:
                if source := recognise(file):
                    found += source.read(file)
        return found

    return items


@pytest.fixture(scope="session")
def found_in(
    make_tree: Callable[[Files], Path], items_of: Callable[[Path], Iterable[Item]]
) -> Callable[[Files], list[Item]]:
    """All that is found in these files."""
    return lambda files: list(items_of(make_tree(files)))
