"""Writing a file whole or not at all."""

from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Replace path by text; a reader, or a kill in the middle, never meets half a file."""
    aside = path.with_name(path.name + ".tmp")
    aside.write_text(text, encoding="utf-8", newline="\n")
    aside.replace(path)
