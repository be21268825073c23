"""The sources that can be imported, one module each; the first that recognises a file reads it."""

from corpus.importers import (
    blogger,
    epub,
    feeds,
    markdown,
    plaintext,
    tumblr,
    webpages,
    whatsapp,
    wordpress,
)
from corpus.importers.source import Source

SOURCES: tuple[Source, ...] = (
    wordpress.SOURCE,
    blogger.SOURCE,
    tumblr.SOURCE,
    feeds.SOURCE,
    whatsapp.SOURCE,
    epub.SOURCE,
    markdown.SOURCE,
    # What no other source has.
    webpages.SOURCE,
    plaintext.SOURCE,
)
