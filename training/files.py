"""Writing a file whole or not at all."""

from pathlib import Path

from corpus.documents import write_aside


def write_text(path: Path, text: str) -> None:
    """Replace path by text; a reader, or a kill in the middle, never meets half a file."""
    with write_aside(path) as file:
        file.write(text)
