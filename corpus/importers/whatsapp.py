"""WhatsApp: a chat as it is exported by hand, ``_chat.txt`` or ``WhatsApp Chat with NAME.txt``.

The form is nowhere documented, and varies with the phone, its language and the year.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from corpus.archive import READ_ERRORS, File
from corpus.importers.source import Broken, Dropped, Item, Message, Source

_MARKS = "\u200e\u200f\u202a\u202c\u2068\u2069"  # of writing direction
_GAP = rf"[{_MARKS}]?(?:[/.-]|\.\s)[{_MARKS}]?"
_DATE = (
    rf"(?P<a>\d{{1,4}}){_GAP}(?P<b>\d{{1,2}}){_GAP}(?P<c>\d{{1,4}})\.?(?:\s\w\.)?[,،]?\s"
    r"(?:(?:à|às|um|at|kl\.?|klo)\s)?"
)
_HALF_BEFORE = r"(?:(?P<before>上午|下午|凌晨|清晨|早上|中午|晚上|午前|午後|오전|오후|ÖÖ|ÖS)\s?)?"
_HALF_AFTER = r"(?:\s?(?P<after>[AaPp]\.?\s?[Mm]\.?|[πμΠΜ]\.?[μΜ]\.?|[صم]))?"
_TIME = rf"{_HALF_BEFORE}(?P<hour>\d{{1,2}})[:.](?P<minute>\d{{2}})"
_SECOND_HALF = re.compile("[Pp]|下午|中午|晚上|午後|오후|ÖS|[μΜ]|م")
_REST = rf"[{_MARKS}]*(?:~\s?)?(?:(?P<sender>[^:\n]{{1,80}}?):(?:\s|$))?(?P<text>.*)"
# "[31/12/20, 23:55:01] Name: text" on iPhones, "12/31/20, 11:55 PM - Name: text" on Android.
_BRACKETS = re.compile(
    rf"[{_MARKS}]*\[{_DATE}{_TIME}(?:[:.](?P<second>\d{{2}}))?{_HALF_AFTER}\]\s{_REST}"
)
_DASH = re.compile(rf"[{_MARKS}]*{_DATE}{_TIME}(?P<second>){_HALF_AFTER}\s-\s{_REST}")
# As phones name the file, in all languages.
_NAMES = re.compile(r"_chat\.txt|.*WhatsApp.*", re.DOTALL)

# What stands for a picture and the like. "\u200e" begins the app's own words on iPhones; Android
# puts them in angle brackets.
_MEDIUM = (
    "image|video|audio|sticker|gif|document|contact card|video note|bild|dokument|kontaktkarte|"
    "videonachricht|imagen|documento|tarjeta de contacto|vidéo|fiche contact|immagine|"
    "scheda contatto|imagem|vídeo|áudio|figurinha|cartão do contato|afbeelding|contactkaart"
)
_LEFT_OUT = (
    "omitted|weggelassen|ausgelassen|omitid[ao]|absente?|omise?|retirée?|omess[ao]|"
    "non inclus[ao]|esclus[ao]|ocultad[ao]|weggelaten"
)
_ATTACHED = (
    "file attached|datei angehängt|archivo adjunto|fichier joint|file allegato|arquivo anexado|"
    "ficheiro anexado|bestand bijgevoegd|plik załączony|файл добавлен|dosya ekli"
)
# Bounded repetitions: without an end, long lines would take quadratic time.
_MEDIA = re.compile(
    rf"\u200e.*|<[^<>]{{8,60}}>|(?-i:null)|poll:"
    rf"|(?:\S.{{0,255}}• ?.{{0,30}} )?\u200e?(?:{_MEDIUM}) (?:{_LEFT_OUT})"
    rf"|\S.*\.\w{{2,5}} \((?:{_ATTACHED})\)|(?:IMG|VID|PTT|AUD|DOC|STK)-\d{{8}}-WA\d+\.\w+ \(.+\)"
    r"|\w+: https://maps\.google\.com/\S+",
    re.IGNORECASE,
)
_ATTACHMENT = re.compile(r"\s{0,9}\u200e?<[^<>:\n]{4,30}: [^<>\n]{1,255}\.\w{2,5}>")
_DELETED = re.compile(
    r"\u200e?(?:this message was deleted(?: by admin .*)?|you deleted this message(?: as admin)?|"
    r"diese nachricht wurde gelöscht|du hast diese nachricht gelöscht|"
    r"se eliminó este mensaje|eliminaste este mensaje|este mensaje fue eliminado|"
    r"ce message a été supprimé|vous avez supprimé ce message|"
    r"questo messaggio è stato eliminato|hai eliminato questo messaggio|"
    r"mensagem apagada|es[ts]a mensagem foi apagada|você apagou esta mensagem|"
    r"dit bericht is verwijderd|(?:u hebt|je hebt) dit bericht verwijderd|"
    r"bu mesaj silindi|bu mesaj\w sildiniz|ta wiadomość została usunięta|"
    r"данное сообщение удалено|вы удалили данное сообщение)\.?",
    re.IGNORECASE,
)
_EDITED = re.compile(
    r"\s{0,9}(?:\u200e<[^<>\n]{8,60}>|<(?:this message was edited|diese nachricht wurde bearbeitet|"
    r"se editó este mensaje|este mensaje fue editado|ce message a été modifié|"
    r"questo messaggio è stato modificato|mensagem editada|es[ts]a mensagem foi editada|"
    r"dit bericht is bewerkt|bu mesaj düzenlendi|сообщение изменено)\.?>)\s*\Z",
    re.IGNORECASE,
)
# Of somebody who is mentioned: a name between marks, or a number without its plus.
_MENTIONED_NAME = re.compile(r"@\u2068(?:~\s?)?([^\u2068\u2069\n]{0,80})\u2069")
_MENTIONED_NUMBER = re.compile(r"(?<!\w)@(?=\d{8,15}\b)")
_TITLE = re.compile(r"WhatsApp Chat (?:- |with )")


def recognises(file: File) -> bool:
    """Whether one of its first lines is a message, or its name says so: nobody else shall take
    other people's messages for a text of one's own."""
    return file.suffix == ".txt" and bool(_NAMES.fullmatch(file.name) or _form(file))


def read(file: File) -> Iterator[Item]:
    """The messages; lines without a stamp go on with the message before."""
    form = _form(file)
    if form is None:
        yield Broken(
            str(file.path), "begins as no chat of WhatsApp known here; if it is none: --as text"
        )
        return
    day_first = _is_day_first(file, form)
    conversation = _conversation(file)
    pending: tuple[re.Match[str], list[str]] | None = None
    for line in _lines(file):
        if isinstance(line, Broken):
            yield line
        elif match := form.match(line):
            if pending:
                yield _item(conversation, day_first, *pending)
            pending = match, []
        elif pending:
            pending[1].append(line)
    if pending:
        yield _item(conversation, day_first, *pending)


def _form(file: File) -> re.Pattern[str] | None:
    """How the lines of messages begin: in a file all do alike."""
    lines = file.head(4096).decode(errors="replace").removeprefix("\ufeff").splitlines()[:5]
    return next((form for line in lines for form in (_BRACKETS, _DASH) if form.match(line)), None)


def _lines(file: File) -> Iterator[str | Broken]:
    """The lines; Broken is the last if the rest cannot be read."""
    with file.open() as stream:
        try:
            for line in io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace"):
                yield line.rstrip("\n")
        except READ_ERRORS as error:
            yield Broken(str(file.path), str(error))


def _conversation(file: File) -> str:
    """From the file's name; ``_chat.txt`` has none of its own, but its zip or folder has."""
    name = file.path.stem
    if name == "_chat" and file.path.parent.name:
        name = file.path.parent.name.removesuffix(".zip")
    return _TITLE.sub("", name)


def _item(conversation: str, day_first: bool, match: re.Match[str], more: list[str]) -> Item:
    sender, first = match["sender"], match["text"]
    if sender is None or not _is_name(sender):
        return Dropped("system message")
    whole = _EDITED.sub("", "\n".join([first, *more]))
    if _DELETED.fullmatch(whole.strip()):
        return Dropped("deleted")
    lines = _ATTACHMENT.sub("", whole).split("\n")
    text = "\n".join(line for line in lines if not _MEDIA.fullmatch(line.strip())).strip()
    if not text.strip(_MARKS):
        return Dropped("without text")
    return Message(
        conversation=conversation,
        sender=sender.strip(f"{_MARKS}~ \u202f\u00a0") or sender,
        text=_MENTIONED_NUMBER.sub("@+", _MENTIONED_NAME.sub(r"@\1", text)),
        date=_date(match, day_first),
    )


def _is_name(sender: str) -> bool:
    """Whether it is not the beginning of 'Ann changed the subject to "Rome: the plan"'."""
    quotes = sum(sender.count(quote) for quote in '"“”„«»')
    return quotes % 2 == 0


@dataclass
class _Order:
    """How well an order of day and month fits a file."""

    day_first: bool
    impossible: int = 0  # dates
    falls: int = 0  # from one message to the next
    last: tuple[int, int, int] = field(default=(0, 0, 0))

    def add(self, match: re.Match[str]) -> None:
        year, month, day = _year_month_day(match, self.day_first)
        self.impossible += month > 12 or day > 31
        self.falls += (year, month, day) < self.last
        self.last = year, month, day


def _is_day_first(file: File, form: re.Pattern[str]) -> bool:
    """By the whole file: no month is above 12, and messages are in order. Where both orders fit,
    only countries that write "AM" and "PM", so and no other way, have the month first."""
    day, month = _Order(True), _Order(False)
    halves = 0
    for line in _lines(file):
        if isinstance(line, str) and (match := form.match(line)):
            day.add(match)
            month.add(match)
            halves += match["after"] in ("AM", "PM")
    misfits = [(order.impossible, order.falls) for order in (day, month)]
    return not halves if misfits[0] == misfits[1] else misfits[0] < misfits[1]


def _year_month_day(match: re.Match[str], day_first: bool) -> tuple[int, int, int]:
    a, b, c = int(match["a"]), int(match["b"]), int(match["c"])
    if a > 31:
        return a, b, c
    day, month = (a, b) if day_first else (b, a)
    return c + 2000 * (c < 100), month, day


def _date(match: re.Match[str], day_first: bool) -> datetime | None:
    hour, minute, second = (int(match[part] or 0) for part in ("hour", "minute", "second"))
    if half := match["before"] or match["after"]:
        hour = hour % 12 + 12 * bool(_SECOND_HALF.match(half))
    try:
        return datetime(*_year_month_day(match, day_first), hour, minute, second)
    except ValueError:
        return None


SOURCE = Source("whatsapp", "WhatsApp", recognises, read)
