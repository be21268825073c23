"""Personal data in texts: found by form and checksum, and masked."""

import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

# All patterns take bounded steps from where they begin, so that no text takes long. They begin with
# a digit or a sign, which re finds quickly, and only then look at what stands before.
_AT = re.compile(r"@(?:[\w-]{1,63}\.){1,8}(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,24})(?![^\W_])")
_LONGEST_LOCAL_PART = 64
_LOCAL_PART = re.compile(r"[\w.+-](?:[\w.+-]|['\u2019](?=\w))*")  # from its end
_BLANK = r" \u00a0\u202f"
# Not behind a slash: the numbers of posts in their addresses are as long.
_CARD = re.compile(
    rf"[2-6](?<![\w./-].)(?:[0-9]{{12,18}}"
    rf"|[0-9]{{3}}([{_BLANK}.-])[0-9]{{4}}\1[0-9]{{4}}\1[0-9]{{1,4}}(?:\1[0-9]{{1,3}})?"
    rf"|[0-9]{{3}}([{_BLANK}.-])[0-9]{{6}}\2[0-9]{{4,5}})(?![\w-])"
)
# What follows the country: "89 3704 0044 0532 0130 00".
_IBAN = re.compile(
    rf"[0-9](?<=[A-Za-z][A-Za-z].)(?<!\w...)[0-9](?:[{_BLANK}]?[A-Za-z0-9]){{11,30}}"
)
# Country codes and lengths, of the registry of ISO 13616.
_IBAN_LENGTHS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 "
    "DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 "
    "IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 "
    "MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 "
    "SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
)
_IBAN_LENGTH = {entry[:2]: int(entry[2:]) for entry in _IBAN_LENGTHS.split()}

_DASH = r"\-\u2010-\u2013"
_GAP = _BLANK + _DASH
_PHONE = re.compile(
    r"[+(0-9](?<![\w.,/+-].)(?:"
    # +49 (0)170 123 45 67
    rf"(?<=\+)[1-9](?:[./{_GAP}]?(?:\(0?\)|\([0-9]{{1,5}}\))?[{_GAP}]?[0-9]){{6,14}}"
    # 01 23 45 67 89
    rf"|(?<=0)[1-9](?P<pair>[.{_GAP}])(?:[0-9]{{2}}(?P=pair)){{3}}[0-9]{{2}}"
    # 0170 1234567, 030/123456, (020) 7946 0958, 0049 170 1234567
    rf"|(?:(?<=0)(?<![0-9][{_BLANK}]0)|(?<=\()0)[0-9]{{1,5}}\)?"
    rf"(?:(?:[{_BLANK}]?[/{_DASH}][{_BLANK}]?|[{_BLANK}])[0-9]{{2,10}}){{1,5}}"
    # 01701234567
    r"|(?<=0)[1-9][0-9]{8,10}"
    # (555) 123-4567, 555-123-4567, 1 555 123 4567
    rf"|(?<=\()[2-9][0-9]{{2}}\)[{_BLANK}]?[0-9]{{3}}[.{_GAP}][0-9]{{4}}"
    rf"|(?:(?<=1)[.{_GAP}][2-9]|(?<=[2-9]))[0-9]{{2}}(?P<us>[.{_GAP}])[0-9]{{3}}(?P=us)[0-9]{{4}}"
    # (11) 91234-5678, 612 34 56 78
    rf"|(?<=\()[1-9][0-9]\)[{_BLANK}]?9?[0-9]{{4}}[{_DASH}][0-9]{{4}}"
    rf"|(?<=[6-9])[0-9]{{2}}(?P<es>[.{_GAP}])[0-9]{{2}}(?P=es)[0-9]{{2}}(?P=es)[0-9]{{2}}"
    # 555-1234, 5551234567: such may be anything, but for the words before
    rf"|(?P<local>(?<=[2-9])[0-9]{{2}}(?:[0-9]{{3}})?[.{_GAP}]?[0-9]{{4}})"
    r")(?!\w|[.,/-][0-9])"
)
_CALLING = re.compile(
    r"\b(?:call|phone|tel|cell|mobile|dial|text|fax|(?:my|our|his|her|their) number)\b\.?"
    r"[^\n0-9.!?]{0,15}\Z",
    re.IGNORECASE,
)
_BEFORE = 30  # characters that are looked at before a number
_DATE = re.compile(r"\(?[0-9]{1,2}([ ./-])[0-9]{1,2}\1(?:[12][0-9]{3}|[0-9]{2})(?![0-9])")

_NAME = r"[A-ZÀ-ÖØ-Þ][\w'\u2019.-]{0,30}"
_PARTICLE = (
    r"(?:d['\u2019]|l['\u2019]|(?:del?|des|du|della|delle|dei|degli|di|da|do|dos|la|las|los|le) )"
)
_TOWN = rf"{_NAME}(?: (?:am|an der|in|im|sur|de|la|le|del|{_NAME})){{0,3}}"
# A postcode and a town, behind a street on its line or on the next.
_PLACE = (
    rf"(?:,? ?\n|,? )(?:(?:[A-Z]{{1,2}}[ -])?[0-9]{{4,5}}(?: ?[A-Z]{{2}}\b)? {_TOWN}"
    rf"|(?:{_TOWN},?[ \n])?[A-Z]{{1,2}}[0-9][0-9A-Z]? ?[0-9][A-Z]{{2}}\b"
    rf"|{_TOWN},? [A-Z]{{2}} [0-9]{{5}}(?:-[0-9]{{4}})?\b)"
)
_ENGLISH = (
    "Street|Avenue|Road|Lane|Drive|Boulevard|Court|Square|Terrace|Place|Way|Close|Crescent|Highway|"
    "Parkway|Gardens|Mews|Circle|Trail|Grove"
)
_SHORT = "St|Ave|Rd|Ln|Dr|Blvd|Ct|Sq|Ter|Pl|Cres|Hwy|Pkwy"
_UNIT = r"(?:,? (?:Apt|Apartment|Suite|Unit|Flat|#)\.? ?#?[0-9]{1,5}[A-Za-z]?)?"
# A number behind these is none of a house, or the year before "Abbey Road".
_NO_HOUSE = re.compile(
    r"\b(?:chapters?|episodes?|part|books?|vol(?:ume|\.)|season|level|page|gen(?:eration)?|track|"
    r"scene|act|route)(?: (?:no\.? ?)?|\.)\Z",
    re.IGNORECASE,
)
_IN_A_YEAR = re.compile(
    r"\b(?:in|since|until|during|around|circa|January|February|March|April|May|June|July|August|"
    r"September|October|November|December),? \Z",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(?:1[0-9]|20)[0-9]{2} ")
_NUMBER_AND_STREET = re.compile(
    r"[0-9](?<![\w.,/-].)[0-9]{0,4}[A-Za-z]?(?:-[0-9]{1,5})?(?:"
    # 221B Baker Street; 12 Main St, Springfield; the short forms could be a saint or a doctor.
    rf"(?: (?:[NSEW]\.?|[0-9]{{1,3}}(?:st|nd|rd|th)|(?!The\b){_NAME})){{1,4}} "
    rf"(?:(?:{_ENGLISH})\b|(?:{_SHORT})\b\.?(?= ?(?:[,;)\n]|\Z))){_UNIT}"
    # 12 bis, rue de la Paix
    r"|(?: ?(?:bis|ter))?,? (?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Bb]d|[Pp]lace|[Cc]hemin|[Ii]mpasse|"
    rf"[Aa]llée|[Qq]uai|[Cc]ours) {_PARTICLE}{{0,2}}{_NAME}(?: {_PARTICLE}?{_NAME}){{0,3}}"
    rf")(?:{_PLACE})?"
)
_HOUSE_NUMBER = re.compile(
    rf"[0-9](?<=[ .a-zß].)[0-9]{{0,3}}(?: ?[a-h])?(?![\w-]|[.,/][0-9])(?P<place>{_PLACE})?"
)
_STREET_ENDS = (
    *("straße", "strasse", "str.", "Straße", "Strasse", "gasse", "Gasse", "allee", "Allee"),
    *("chaussee", "Chaussee", "straat", "laan", "gracht", "weg", "platz", "ring", "damm", "ufer"),
    *("plein", "kade"),
)
_STREET_BEGINNINGS = (
    *("Calle ", "Avenida ", "Avda", "Paseo ", "Via ", "Viale ", "Piazza ", "Corso ", "Rua "),
    "Travessa ",
)
_STREET_CHARACTERS = 100  # before a number
_STREET = re.compile(
    # Musterstraße 12, Berliner Straße 5a, Karl-Marx-Allee 3, Kerkstraat 1
    rf"(?<!\w)(?:(?:{_NAME}[ -]){{1,3}}(?:[Ss]tra(?:ß|ss)e|Allee|Chaussee|Gasse)"
    r"|[A-ZÀ-ÖØ-Þ][\w-]{1,40}(?:gasse|allee|chaussee|straat|laan|gracht)"
    r"|\w[\w-]{1,40}(?:stra(?:ß|ss)e|str\.)"
    # Feldweg 7, 12345 Dorf: without a place, such words are other things as well.
    r"|(?P<weak>[A-ZÀ-ÖØ-Þ]\w{1,30}(?:weg|platz|ring|damm|ufer|plein|kade))"
    # Calle de Alcalá 45, Via Roma 12, Rua do Ouro, 5
    r"|(?:Calle|Avenida|Avda\.?|Paseo|Via|Viale|Piazza|Corso|Rua|Travessa)"
    rf" {_PARTICLE}{{0,2}}{_NAME}(?: {_PARTICLE}{{0,2}}{_NAME}){{0,3}},?(?: n[.º°]+)?) ?\Z"
)


class _Kind(NamedTuple):
    name: str
    pattern: re.Pattern[str]
    span: Callable[[re.Match[str]], tuple[int, int] | None]
    """Where what a match is part of begins and ends; None: it is nothing of the kind."""


def mask(text: str) -> tuple[str, Counter[str]]:
    """text with personal data replaced by what it was, as ``[mail address]``, and how many of each
    kind there were."""
    found: Counter[str] = Counter()
    before = -1
    while before < found.total():  # what was masked may have hidden the beginning of another
        before = found.total()
        for kind in _KINDS:
            text = _masked(text, kind, found)
    return text, found


def _masked(text: str, kind: _Kind, found: Counter[str]) -> str:
    pieces: list[str] = []
    done = position = 0
    while match := kind.pattern.search(text, position):
        span = kind.span(match)
        if span and span[0] >= done:
            found[kind.name] += 1
            pieces += text[done : span[0]], f"[{kind.name}]"
            done = position = span[1]
        else:
            position = match.start() + 1
    return "".join((*pieces, text[done:])) if pieces else text


def _mail(match: re.Match[str]) -> tuple[int, int] | None:
    at = match.start()
    before = match.string[max(0, at - _LONGEST_LOCAL_PART) : at]
    local = _LOCAL_PART.match(before[::-1])
    return (at - local.end(), match.end()) if local and local[0] else None


def _card(match: re.Match[str]) -> tuple[int, int] | None:
    """Luhn's checksum (ISO/IEC 7812-1)."""
    digits = [int(c) for c in reversed(match[0]) if c.isdigit()]
    doubled = (sum(divmod(2 * d, 10)) for d in digits[1::2])
    is_valid = (sum(digits[::2]) + sum(doubled)) % 10 == 0
    return match.span() if is_valid and 13 <= len(digits) <= 19 and len(set(digits)) > 1 else None


def _iban(match: re.Match[str]) -> tuple[int, int] | None:
    """ISO 13616: as long as the country says, and mod 97 of the number with its head at the
    end."""
    start = match.start() - 2
    text = match.string[start : match.end() + 1]
    wanted = _IBAN_LENGTH.get(text[:2].upper())
    ends = [n for n, c in enumerate(text[: match.end() - start], start=1) if not c.isspace()]
    if wanted is None or len(ends) < wanted:
        return None
    end = ends[wanted - 1]
    plain = "".join(text[:end].split())
    number = "".join(str(int(c, 36)) for c in plain[4:] + plain[:4])
    is_whole = not re.match(r"\w", text[end : end + 1])
    return (start, start + end) if is_whole and int(number) % 97 == 1 else None


def _phone(match: re.Match[str]) -> tuple[int, int] | None:
    number = match[0]
    if match["local"]:
        return match.span() if _CALLING.search(_before(match)) else None
    digits = sum(c.isdigit() for c in number)
    is_other = _DATE.match(number) or _is_list(number) or _is_isbn(number)
    most = 16 if number.startswith(("+", "00")) else 13
    return match.span() if 9 <= digits <= most and (match["pair"] or not is_other) else None


def _is_list(number: str) -> bool:
    """Of numbers with leading zeros: 001 002 003."""
    groups = re.findall(r"[0-9]+", number)
    return len(groups) > 1 and all(group.startswith("0") for group in groups)


def _is_isbn(number: str) -> bool:
    """ISO 2108, of ten digits: 0306406152."""
    weighed = (place * int(digit) for place, digit in enumerate(reversed(number), start=1))
    return number.isdigit() and len(number) == 10 and sum(weighed) % 11 == 0


def _before(match: re.Match[str]) -> str:
    return match.string[max(0, match.start() - _BEFORE) : match.start()]


def _numbered(match: re.Match[str]) -> tuple[int, int] | None:
    before = _before(match)
    is_year = _YEAR.match(match[0]) and _IN_A_YEAR.search(before)
    return None if is_year or _NO_HOUSE.search(before) else match.span()


def _street(match: re.Match[str]) -> tuple[int, int] | None:
    """A street's name, which stands before the number that was found."""
    start = max(0, match.start() - _STREET_CHARACTERS)
    before = match.string[start : match.start()]
    has_beginning = any(word in before for word in _STREET_BEGINNINGS)
    if not has_beginning and not before.rstrip(" ").endswith(_STREET_ENDS):
        return None
    street = _STREET.search(before)
    if street is None or (street["weak"] and not match["place"]):
        return None
    return start + street.start(), match.end()


_KINDS = (
    _Kind("mail address", _AT, _mail),
    _Kind("IBAN", _IBAN, _iban),
    _Kind("card number", _CARD, _card),
    _Kind("phone number", _PHONE, _phone),
    _Kind("street address", _NUMBER_AND_STREET, _numbered),
    _Kind("street address", _HOUSE_NUMBER, _street),
)
