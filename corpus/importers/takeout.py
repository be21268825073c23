"""Google's Takeout as a whole: it holds documents and lists of all kinds beside what is published
(addresses, orders, notes, a whole Drive)."""

from corpus.archive import File


def is_in_takeout(file: File) -> bool:
    """Whether a file lies in a Takeout: the name is the same in all languages, as a folder's and
    as the beginning of a zip's."""
    return any(part == "Takeout" or part.startswith("takeout-") for part in file.path.parts[:-1])
