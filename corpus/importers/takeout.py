"""Google's Takeout as a whole: it holds documents and lists of all kinds beside what is published
(addresses, orders, notes, a whole Drive)."""

import re

from corpus.archive import File

_NAME = re.compile(r"Takeout\Z|takeout-\d{8}T\d{6}Z")


def is_in_takeout(file: File) -> bool:
    """Whether a file lies in a Takeout: the name is the same in all languages, as a folder's and
    as the beginning of a zip's."""
    return any(map(_NAME.match, file.path.parts[:-1]))
