"""Arguments that several commands take."""

import argparse
from collections.abc import Callable, Sequence


def among(known: Sequence[str]) -> Callable[[str], list[str]]:
    """A type for argparse: names that are known, separated by commas."""

    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return names

    return parse


def counts(text: str) -> list[int]:
    """A type for argparse: positive numbers, separated by commas."""
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError("at least one each")
    return numbers
