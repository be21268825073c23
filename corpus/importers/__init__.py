"""The sources that can be imported, one module each; the first that recognises a file reads it."""

from corpus.importers import (
    blogger,
    epub,
    facebook,
    feeds,
    googlechat,
    hangouts,
    keep,
    mail,
    markdown,
    messenger,
    plaintext,
    reddit,
    tumblr,
    webpages,
    whatsapp,
    wordpress,
    writingprompts,
    youtube,
)
from corpus.importers.source import Source

SOURCES: tuple[Source, ...] = (
    wordpress.SOURCE,
    blogger.SOURCE,
    tumblr.SOURCE,
    feeds.SOURCE,
    facebook.SOURCE,
    messenger.SOURCE,
    googlechat.SOURCE,
    hangouts.SOURCE,
    keep.SOURCE,
    youtube.SOURCE,
    mail.SOURCE,
    reddit.SOURCE,
    writingprompts.SOURCE,
    whatsapp.SOURCE,
    epub.SOURCE,
    markdown.SOURCE,
    # What no other source has.
    webpages.SOURCE,
    plaintext.SOURCE,
)
