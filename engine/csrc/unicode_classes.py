"""Writes unicode_classes.h: the character classes of GPT-2's pre-tokeniser.

GPT-2's pattern speaks of ``\\p{L}``, ``\\p{N}`` and ``\\s`` as the `regex` library knows them, so
the table is read off that library::

    pip install regex
    python engine/csrc/unicode_classes.py > engine/csrc/unicode_classes.h
"""

import itertools
import sys

import regex

CLASSES = {"LETTER": r"\p{L}", "NUMBER": r"\p{N}", "SPACE": r"\s"}


def class_of(code_point: int) -> str | None:
    character = chr(code_point)
    return next(
        (name for name, pattern in CLASSES.items() if regex.match(pattern, character)), None
    )


def main() -> None:
    runs = itertools.groupby(range(sys.maxunicode + 1), key=class_of)
    print("/* Written by unicode_classes.py; do not edit. */")
    print("static const struct { uint32_t first, last; char_class is; } CLASSES[] = {")
    for name, run in runs:
        points = list(run)
        if name:
            print(f"    {{0x{points[0]:x}, 0x{points[-1]:x}, {name}}},")
    print("};")


if __name__ == "__main__":
    main()
