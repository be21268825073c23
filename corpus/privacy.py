"""Personal data in texts: found by form and checksum, and masked."""

import re
from collections import Counter
from collections.abc import Callable

_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])")
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)")


def mask(text: str) -> tuple[str, Counter[str]]:
    """text with personal data replaced by what it was, as ``[mail address]``, and how many of each
    kind there were."""
    found: Counter[str] = Counter()
    for kind, pattern, is_one in _KINDS:

        def replace(
            match: re.Match[str], kind: str = kind, is_one: Callable[[str], bool] = is_one
        ) -> str:
            if not is_one(match[0]):
                return match[0]
            found[kind] += 1
            return f"[{kind}]"

        text = pattern.sub(replace, text)
    return text, found


def _is_card(text: str) -> bool:
    """Luhn's checksum (ISO/IEC 7812-1)."""
    digits = [int(c) for c in reversed(text) if c.isdigit()]
    doubled = (sum(divmod(2 * d, 10)) for d in digits[1::2])
    return len(set(digits)) > 1 and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _is_iban(text: str) -> bool:
    """ISO 13616: mod 97 of the number with its head at the end."""
    plain = text.replace(" ", "")
    return (
        15 <= len(plain) <= 34
        and int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1
    )


_KINDS: list[tuple[str, re.Pattern[str], Callable[[str], bool]]] = [
    ("mail address", _MAIL, lambda _: True),
    ("IBAN", _IBAN, _is_iban),
    ("card number", _CARD, _is_card),
]
