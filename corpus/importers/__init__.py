"""The sources that can be imported, one module each; the first that recognises a file reads it."""

from corpus.importers import whatsapp, wordpress
from corpus.importers.source import Source

SOURCES: tuple[Source, ...] = (
    wordpress.SOURCE,
    whatsapp.SOURCE,
)
