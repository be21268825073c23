"""Those whom an answer is for: social networks put their names before it."""

import re

# "@ada", "@ada@social.example", ".@ada", "@ada.l:".
_ADDRESSEES = re.compile(r"\s*(?:\.?@\w+(?:[.@-]+\w+)*[,:]?(?:\s+|\Z))*")


def without_addressees(answer: str) -> str:
    """An answer without the names at its beginning; those further on stay."""
    found = _ADDRESSEES.match(answer)
    return answer[found.end() :] if found else answer
