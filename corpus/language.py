"""Which language a text is in."""

from functools import cache

from py3langid import classify, rank

_EXAMINED = 2000  # characters of the beginning, which are plenty
_FEWEST = 100  # characters: of shorter texts nobody can be sure


def language(text: str) -> str | None:
    """The ISO 639 code of a text's language by its beginning; None if it is too short to tell."""
    if len(text) < _FEWEST:
        return None
    code: str = classify(text[:_EXAMINED])[0]
    return code


@cache
def languages() -> frozenset[str]:
    """The codes of all languages that are known."""
    return frozenset(code for code, _ in rank(""))
