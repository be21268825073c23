"""Project Gutenberg's header and footer, which stand around the text of its books."""

import re

START = re.compile(
    r"\*\*\*\s*START OF (?:THE|THIS) PROJECT GUTENBERG(?:[^*]{0,300}\*\*\*)?"
    r"|\*END\*\s?THE SMALL PRINT"
)
END = re.compile(r"\*\*\*\s*END OF (?:THE|THIS) PROJECT GUTENBERG|End of (?:the )?Project Gutenb")
_END_LINE = re.compile(rf"^[ \t]*(?:{END.pattern})", re.MULTILINE)


def inside(text: str) -> str:
    """What stands between header and footer; all of a text that has neither."""
    if start := START.search(text):
        text = text[start.end() :].partition("\n")[2]
    if end := _END_LINE.search(text):
        text = text[: end.start()]
    return text.strip()
