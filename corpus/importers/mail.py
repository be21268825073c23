"""Mail: the mbox of a Gmail Takeout, any other ``.mbox``, and single ``.eml`` files (RFC 5322).

What one sent oneself is of interest: the words that are one's own, without what they quote, forward
or are signed with. Mail is read by few, but who gives the archive of one's own means its text: it
counts as public, so that no option is needed.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message as Mail
from email.utils import parseaddr
from functools import partial
from itertools import pairwise

from selectolax.lexbor import LexborHTMLParser

from corpus.archive import READ_ERRORS, ArchiveError, File
from corpus.importers.charsets import is_utf8
from corpus.importers.dates import from_rfc2822
from corpus.importers.markup import html_text, take_out
from corpus.importers.source import Broken, Dropped, Item, Source, Text

# "From 123@xxx Mon Jan 01 10:00:00 +0000 2024"; Thunderbird may leave out who and when.
_SEPARATOR = re.compile(rb"From \S+ .*\d\d:\d\d.*\d{4}|From (?:- ?)?\r?\n?\Z")
_HEADER = re.compile(rb"\A(?:\xef\xbb\xbf)?(?:[!-9;-~]+:.*\r?\n(?:[ \t].*\r?\n)*){2}")
_LONGEST_LINE = 1 << 20
_LONGEST_SEPARATOR = 200
_LONGEST_HEADER = 4000  # characters: Python takes quadratic time for them
_LARGEST = 1 << 23  # bytes of a mail; what comes after that are attachments
_SAMPLE = 1 << 26  # bytes of an mbox, to learn whose it is

# Gmail's labels, and the names of mailboxes, as some languages have them.
_LABELS = {
    "sent": "sent|sent mail|sent messages|sent items|gesendet|gesendete elemente|gesendete objekte|"
    "messages envoyés|envoyés|éléments envoyés|enviados|elementos enviados|posta inviata|inviati|"
    "verzonden|verzonden items|skickat|sendt|lähetetyt|wysłane|odeslaná pošta|отправленные|"
    "надіслані|gönderilmiş postalar|送信済みメール|送信済み|已发邮件|寄件備份|보낸편지함",
    "draft": "draft|drafts|entwurf|entwürfe|brouillons|borradores|rascunhos|bozze|concepten|utkast|"
    "kladder|luonnokset|wersje robocze|koncepty|черновики|чернетки|taslaklar|下書き|草稿|"
    "임시보관함",
    "spam": "spam|junk|skräppost|søppelpost|roskaposti|спам|迷惑メール|垃圾邮件|垃圾郵件|스팸함",
    "deleted": "trash|bin|deleted items|deleted messages|papierkorb|gelöschte elemente|corbeille|"
    "papelera|lixeira|cestino|prullenbak|papperskorgen|papirkurv|roskakori|kosz|koš|корзина|кошик|"
    "çöp kutusu|ゴミ箱|已删除邮件|垃圾桶|휴지통",
    "chat": "chat|chats",
}
_MEANINGS = {name: kind for kind, names in _LABELS.items() for name in names.split("|")}
_BULK = ("bulk", "junk", "list")

# Where somebody else's words begin and go on to the end.
_FORWARDED = re.compile(
    r"^[ \t]{0,9}(?:-{5,30}[ \t]{0,9}\S[^\n]{2,60}\S[ \t]{0,9}-{5,30}|Begin forwarded message:"
    r"|Anfang der weitergeleiteten (?:Nachricht|E-Mail):"
    r"|Début du message (?:réexpédié|transféré) :)[ \t]{0,9}$",
    re.MULTILINE,
)
_OUTLOOK = re.compile(
    r"^(?:_{10,}\s*\n)?\*?(?:From|Von|De|Da|Van|Från|Fra|Od|От|Lähettäjä|Kimden|差出人|发件人"
    r"|Gesendet)[ \xa0]?:\*? [^\n]+\n"
    r"(?:[^\n]*\n)?\*?(?:Sent|Date|To|Von|Gesendet|Datum|An|Envoyé|À|Enviado|Fecha|Para|Inviato"
    r"|Data|A|Verzonden|Aan|Skickat|Sendt|Wysłano|Odesláno|Do|Komu|Отправлено|Дата|Кому|Lähetetty"
    r"|Gönderme Tarihi|Kime|送信日時|日時|宛先|发送时间|收件人)(?: le)?\s?:\*? ",
    re.MULTILINE,
)
_SIGNED = re.compile(r"^-----BEGIN PGP SIGNED MESSAGE-----\n(?:[^\n]{1,99}\n){0,9}\n", re.MULTILINE)
_SIGNATURE = re.compile(r"^--[ \t]?$", re.MULTILINE)
_DEVICE = re.compile(
    r"^(?:Sent from (?:my |Mail |Outlook|Yahoo)[^\n]{0,60}|Get Outlook for [^\n]{0,60}"
    r"|Von meinem [^\n]{0,40} gesendet|(?:Envoyé de mon|Enviado d(?:esde mi|o meu)|Inviato da"
    r"|Verstuurd vanaf mijn|Skickat från min|Sendt fra min|Wysłane z) [^\n]{0,40})\s*\Z",
    re.MULTILINE,
)
# "On Mon, 1 Jan 2024 at 10:00, Ada <ada@example.org> wrote:", whatever the language.
_ATTRIBUTION = re.compile(
    r"(?:On|Am|Le|El|Il|Op|Em|Den|Dnia|W dniu|\d{1,4}[./-]\d{1,2}[./-]\d{1,4})\b.*\d.*:"
)
# What stands right before a quote needs less to be one.
_BEFORE_QUOTE = re.compile(
    r".*(?:\b\d{1,2}[:.]\d\d\b|\b[12]\d{3}\b|[12]\d{3}[年년]).*[:\uff1a]"
    r"|.{1,120}\b(?:wrote|writes|schrieb|a écrit|escribió|ha scritto|schreef|escreveu|skrev)\s?:"
)
_LONGEST_ATTRIBUTION = 4, 400  # lines and characters
# Yahoo's quotes have no mark but this line before them.
_BEFORE_UNMARKED = re.compile(
    r"^[ \t]*(?:On|Am|Le|El|Il|Em) (?=[^\n]{0,300}\b\d{4}\b)(?=[^\n]{0,300}@)[^\n]{1,400}:[ \t]*$",
    re.MULTILINE,
)
_QUOTE = re.compile(r"^[ \t]*>", re.MULTILINE)
_QUOTES_IN_HTML = (
    "blockquote, .gmail_quote, .gmail_signature, .gmail_attr, .moz-cite-prefix, .yahoo_quoted, "
    ".protonmail_quote"
)
# Mail programs that break lines do it there, or further on, and write no longer ones.
_NARROWEST, _BROKEN_AT, _WIDEST = 55, 72, 80
_LIST_ITEM = re.compile(r"\s|[-*+•\u2013]\s|\d{1,3}[.)]\s")
_REPLY = re.compile(r"\A(?:\s*(?:Re|Aw|Sv|Antw|Fwd?|Wg|Tr|Rv)(?:\[\d+\])?\s*:)+\s*", re.IGNORECASE)


def recognises(file: File) -> bool:
    """Whether it begins as an mbox, or a mail with headers, does."""
    if file.suffix == ".mbox" or file.name == "mbox":
        return bool(_SEPARATOR.match(file.head(1000).partition(b"\n")[0]))
    return file.suffix == ".eml" and bool(_HEADER.match(file.head(1 << 14)))


def read(file: File) -> Iterator[Item]:
    """Its mails, one after the other. Whose they are, the labels say, or the mailbox's name, or
    whom mails are delivered to, or that they have not travelled."""
    account, mailbox = _account(file), _mailbox(file)
    for number, raw in enumerate(_mails(file), start=1):
        if isinstance(raw, Broken):
            yield raw
            continue
        try:
            yield _item(message_from_bytes(raw), account, mailbox)
        except Exception as error:  # whatever the standard library's parser trips over
            yield Broken(f"{file.path}, mail {number}", f"{type(error).__name__}: {error}")


def _mails(file: File) -> Iterator[bytes | Broken]:
    """A mail of an mbox begins after a blank line with one of "From ", a word and a date."""
    is_mbox = file.suffix != ".eml"
    lines: list[bytes] = []
    size, after_blank = 0, True
    for line in _lines(file):
        if isinstance(line, Broken):
            yield line
        elif is_mbox and after_blank and _SEPARATOR.match(line[:_LONGEST_SEPARATOR]):
            if lines:
                yield b"".join(lines)
            lines, size = [], 0
        elif size < _LARGEST:
            # A body's "From " was escaped.
            lines.append(line[1:] if is_mbox and re.match(rb">+From ", line) else line)
            size += len(line)
        after_blank = not isinstance(line, Broken) and not line.strip()
    if lines:
        yield b"".join(lines)


def _lines(file: File) -> Iterator[bytes | Broken]:
    try:
        with file.open() as stream:
            yield from iter(partial(stream.readline, _LONGEST_LINE), b"")
    except (*READ_ERRORS, ArchiveError) as error:
        yield Broken(str(file.path), str(error) or type(error).__name__)


def _account(file: File) -> str | None:
    """The address that most of the first mails were delivered to."""
    addresses: Counter[str] = Counter()
    size = 0
    for line in _lines(file):
        if isinstance(line, Broken) or size > _SAMPLE:
            break
        size += len(line)
        if line[:13].lower() == b"delivered-to:":
            addresses[line[13:].strip().decode(errors="replace").casefold()] += 1
    return max(addresses, key=addresses.__getitem__, default=None)


def _mailbox(file: File) -> str:
    """``Sent`` of ``Sent.mbox``, of Apple's ``Sent.mbox/mbox`` or of ``Sent/1.eml``."""
    return (file.path if file.suffix == ".mbox" else file.path.parent).stem


def _item(mail: "Mail[str, str]", account: str | None, mailbox: str) -> Item:
    given = *_header(mail, "x-gmail-labels").split(","), unicodedata.normalize("NFC", mailbox)
    labels = {label.strip().casefold() for label in given}
    kinds = {_MEANINGS[label] for label in labels & _MEANINGS.keys()}
    if unwanted := sorted(kinds - {"sent"}):
        return Dropped(unwanted[0])
    if _is_automatic(mail):
        return Dropped("bot")
    name, address = parseaddr(_header(mail, "from"))
    has_travelled = any(mark in mail for mark in ("X-Gmail-Labels", "Received", "Delivered-To"))
    body = _body(mail)
    own = _own_words(body)
    if not own:
        return Dropped("forwarded" if _FORWARDED.search(body) else "without text")
    return Text(
        text=own,
        id=_header(mail, "message-id").strip("<> \t") or None,
        title=_REPLY.sub("", _header(mail, "subject")).strip() or None,
        date=from_rfc2822(_header(mail, "date")),
        author=name or address or None,
        mine="sent" in kinds or address.casefold() == account or not has_travelled,
    )


def _is_automatic(mail: "Mail[str, str]") -> bool:
    return (
        _header(mail, "auto-submitted").casefold().partition(";")[0].strip() not in ("", "no")
        or _header(mail, "precedence").casefold().strip() in _BULK
        or any(name in mail for name in ("List-Id", "List-Unsubscribe", "X-Autoreply"))
    )


def _header(mail: "Mail[str, str]", name: str) -> str:
    """A header, by its name in lower case; empty if there is none."""
    found = next((value for key, value in mail.raw_items() if key.casefold() == name), "")
    raw = found[:_LONGEST_HEADER].encode(errors="surrogateescape").decode(errors="replace")
    try:
        written = str(make_header(decode_header(raw)))
    except (LookupError, ValueError, MessageError):  # an unknown encoding, or a broken one
        written = raw
    return " ".join(_encodable(written).split())


def _body(mail: "Mail[str, str]") -> str:
    """The plain texts, which pictures may divide, else the HTML, that are neither attached nor
    forwarded."""
    texts: dict[str, list[str]] = {"text/plain": [], "text/html": []}
    pending: list[Mail[str, str]] = [mail]
    while pending:
        part = pending.pop()
        kind = part.get_content_type()
        if part.get_content_disposition() == "attachment" or part.get_filename():
            continue
        if part.get_content_maintype() == "multipart":
            pending += reversed([one for one in part.get_payload() if isinstance(one, Mail)])
        elif kind in texts:
            texts[kind].append(_decoded(part))
    text, html = map("\n".join, texts.values())
    if not text.strip():
        return html_text(_without_quotes(html))
    unmarked = _BEFORE_UNMARKED.search(text)
    return text[: unmarked.start()] if unmarked and not _QUOTE.search(text) else text


def _decoded(part: "Mail[str, str]") -> str:
    payload = part.get_payload(decode=True)
    raw = payload if isinstance(payload, bytes) else b""
    try:
        charset = part.get_content_charset() or "utf-8"
        # As browsers do: what says so is Windows-1252 often enough.
        written = raw.decode("cp1252" if charset in ("iso-8859-1", "latin1") else charset)
    except (LookupError, ValueError):
        written = raw.decode("utf-8" if is_utf8([raw]) else "cp1252", "replace")
    written = _encodable(written).replace("\r\n", "\n").replace("\x00", "")
    form, is_blank_dropped = (str(part.get_param(name)).casefold() for name in ("format", "delsp"))
    return _unflowed(written, is_blank_dropped == "yes") if form == "flowed" else written


def _encodable(written: str) -> str:
    """Without the lone surrogates that some encodings can hold."""
    return written.encode(errors="replace").decode()


def _unflowed(written: str, is_blank_dropped: bool) -> str:
    """A line with a blank at its end goes on (RFC 3676), but for quotes and a signature's mark; the
    blank may be there for that alone (DelSp). What begins with a blank was given it."""
    pieces: list[str] = []
    before = ""
    for line in written.split("\n"):
        goes_on = before.endswith(" ") and "-- " not in (before, line)
        is_quote = ">" in (before[:1], line[:1])
        if not goes_on or is_quote:
            pieces.append("\n")
        elif is_blank_dropped:
            pieces[-1] = pieces[-1][:-1]
        pieces.append(line.removeprefix(" "))
        before = line
    return "".join(pieces).removeprefix("\n")


def _without_quotes(html: str) -> str:
    tree = LexborHTMLParser(html)
    take_out(tree, _QUOTES_IN_HTML)
    return tree.html or ""


def _own_words(body: str) -> str:
    """Without quotes, and what begins with somebody else's headers or a signature; in whole
    lines."""
    body = _SIGNED.sub("", body)
    for others in (_FORWARDED, _OUTLOOK, _SIGNATURE):
        if found := others.search(body):
            body = body[: found.start()]
    lines: list[str] = []
    for line in body.split("\n"):
        is_quote = line.lstrip().startswith(">")
        if is_quote:
            _drop_attribution(lines, is_before_quote=True)
        kept = "" if is_quote else line.rstrip()
        if kept or (lines and lines[-1]):
            lines.append(kept)
    _drop_attribution(lines)
    own = _DEVICE.sub("", "\n".join(lines).strip()).strip()
    return _joined(own.split("\n"))


def _joined(lines: list[str]) -> str:
    """The lines, without the breaks where the next word had no place."""
    words = (max(map(len, line.split()), default=0) for line in lines)
    is_broken = all(len(line) - word <= _WIDEST for line, word in zip(lines, words, strict=True))
    pieces = lines[:1]
    for before, line in pairwise(lines):
        is_full = len(before) + len(line.partition(" ")[0]) >= _BROKEN_AT
        is_full = is_full and _NARROWEST <= len(before) <= _WIDEST
        goes_on = is_broken and is_full and line and not _LIST_ITEM.match(line)
        pieces += [" " if goes_on else "\n", line]
    return "".join(pieces)


def _drop_attribution(lines: list[str], *, is_before_quote: bool = False) -> None:
    """Takes off who wrote what is quoted next, and when."""
    most_lines, most_characters = _LONGEST_ATTRIBUTION
    end = len(lines)
    while end and not lines[end - 1]:
        end -= 1
    for start in range(end - 1, max(-1, end - 1 - most_lines), -1):
        if not lines[start]:
            break
        written = " ".join(lines[start:end])
        if len(written) <= most_characters and _ATTRIBUTION.fullmatch(written):
            del lines[start:]
            return
    start = end - 1
    # It may have been broken where it was full.
    while start > max(0, end - most_lines) and len(lines[start - 1]) >= _NARROWEST:
        start -= 1
    written = " ".join(lines[max(0, start) : end])
    if is_before_quote and len(written) <= most_characters and _BEFORE_QUOTE.fullmatch(written):
        del lines[start:]


SOURCE = Source("mail", "Mail", recognises, read)
