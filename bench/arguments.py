"""Arguments that several commands take."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path


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


def parse(
    parser: argparse.ArgumentParser, arguments: list[str] | None, results: str
) -> argparse.Namespace:
    """Parse with the arguments that every measurement takes; `results` is its file of numbers."""
    add = parser.add_argument
    add("--cache", type=Path, default=Path(__file__).parent / ".cache", help="default bench/.cache")
    add("--json", type=Path, help=f"each number; default {results} in the cache")
    add("--busy", action="store_true", help="measure even though the machine is busy")
    args = parser.parse_args(arguments)
    args.json = args.json or args.cache / results
    return args
