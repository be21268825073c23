"""What a text is encoded in that does not say so, or says what is not so."""

import codecs
from collections.abc import Iterable
from itertools import chain


def is_utf8(blocks: Iterable[bytes]) -> bool:
    """Whether a text, which comes in blocks, is UTF-8; a few bytes of many may be damaged."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    good = bad = 0
    for block in chain(blocks, [b""]):
        text = decoder.decode(block, final=not block)
        wrong = text.count("\ufffd") - block.count("\ufffd".encode())
        bad += wrong
        good += len(text) - len(text.encode("ascii", "ignore")) - wrong
    return good >= 4 * bad
