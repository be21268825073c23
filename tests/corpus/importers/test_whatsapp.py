"""WhatsApp: chats as phones export them."""

import re
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.archive import Archive
from corpus.importers import whatsapp
from corpus.importers.source import Broken, Dropped, Item, Message
from corpus.importing import Policy, recognise

from .made import documents


def read(path: Path) -> list[Item]:
    with Archive([path]) as archive:
        return [i for f in archive if recognise(f) is whatsapp.SOURCE for i in whatsapp.read(f)]


def chat(folder: Path, text: str, name: str = "WhatsApp Chat with Ann.txt") -> list[Item]:
    (folder / name).write_text(text, encoding="utf-8", newline="")
    return read(folder / name)


def lines(items: list[Item]) -> list[tuple[str, str]]:
    return [(item.sender, item.text) for item in items if isinstance(item, Message)]


def dates(items: list[Item]) -> list[datetime | None]:
    return [item.date for item in items if isinstance(item, Message)]


def dropped(items: list[Item]) -> list[str]:
    return [item.reason for item in items if isinstance(item, Dropped)]


def test_real_chats_are_read_whole(shared_data: Path) -> None:
    single = shared_data / "chat" / "whatsapp_2A_5M.txt"
    with zipfile.ZipFile(shared_data / "chat" / "whatsapp_4A_11M.zip") as archive:
        zipped = archive.read("_chat.txt").decode()
    for path, text in (
        (single, single.read_text()),
        (single.parent / "whatsapp_4A_11M.zip", zipped),
    ):
        stamped = [line.split(" - ", 1)[1] for line in text.splitlines()]
        expected = [
            tuple(line.split(": ", 1))
            for line in stamped
            if ": " in line and "<media omitted>" not in line
        ]
        found = read(path)
        assert lines(found) == expected
        assert len(found) == len(stamped)
    assert dropped(read(single)) == ["without text"]
    assert dates(found) == sorted(date for date in dates(found) if date)
    assert {item.conversation for item in found if isinstance(item, Message)} == {"whatsapp_4A_11M"}


@pytest.mark.parametrize(
    "stamp",
    [
        "[31/12/20, 23:55:01] ",
        "[31/12/2020, 11:55:01 PM] ",
        "[31/12/20, 11:55:01\u202fPM] ",
        "\u200e[31.12.20, 23:55:01] ",
        "[2020-12-31, 23:55:01] ",
        "31/12/20, 23:55 - ",
        "31/12/20, 11:55\u202fpm - ",
        "31/12/20, 11:55 p.\u00a0m. - ",
        "31/12/2020 23:55 - ",
        "31/12/2020 à 23:55 - ",
        "31.12.20, 23:55 - ",
        "2020-12-31, 11:55 p.m. - ",
        "12/31/20, 11:55 PM - ",
        "[12/31/20, 23.55.01] ",
        "2020. 12. 31. 오후 11:55 - ",
        "[2020/12/31 下午11:55:01] ",
        "31.12.2020 klo 23.55 - ",
        "31.12.20 г., 23:55 - ",
        "31/12/20, 11:55 μ.μ. - ",
        "\u200f31\u200f/12\u200f/2020، 11:55 م - ",
        "٣١/١٢/٢٠٢٠، ١١:٥٥ م - ",
    ],
)
def test_all_stamps_are_read(tmp_path: Path, stamp: str) -> None:
    found = chat(tmp_path, f"{stamp}Ann: one\r\ntwo: more\r\n\r\n{stamp}~\u202fBob B.: hi\r\n")
    assert lines(found) == [("Ann", "one\ntwo: more"), ("Bob B.", "hi")]
    second = 1 if stamp.startswith(("[", "\u200e[")) else 0
    assert dates(found) == [datetime(2020, 12, 31, 23, 55, second)] * 2


def test_noon_and_midnight(tmp_path: Path) -> None:
    found = chat(tmp_path, "1/31/20, 12:05 AM - A: x\n1/31/20, 12:05 PM - A: y\n")
    assert dates(found) == [datetime(2020, 1, 31, 0, 5), datetime(2020, 1, 31, 12, 5)]


@pytest.mark.parametrize(
    ("days", "month_first"),
    [
        (["1/2/20", "1/3/20", "1/13/20"], True),  # no month above 12
        (["1/2/20", "2/2/20", "13/2/20"], False),
        (["6/1/20", "7/1/20", "7/2/20", "8/1/20"], True),  # in order
        (["1/6/20", "1/7/20", "2/7/20", "1/8/20"], False),
        (["5/6/20", "5/6/20"], False),
    ],
)
def test_the_whole_file_tells_which_is_the_month(
    tmp_path: Path, days: list[str], month_first: bool
) -> None:
    found = chat(tmp_path, "".join(f"{day}, 10:00 - A: x\n" for day in days))
    form = "%m/%d/%y" if month_first else "%d/%m/%y"
    assert dates(found) == [datetime.strptime(day, form) + timedelta(hours=10) for day in days]


def test_am_and_pm_mean_the_month_first_where_nothing_else_tells(tmp_path: Path) -> None:
    found = chat(tmp_path, "5/6/20, 10:00 AM - A: x\n5/6/20, 10:01 AM - A: y\n")
    assert dates(found)[0] == datetime(2020, 5, 6, 10)
    # Britain, Australia and India have them small, Latin America with dots.
    found = chat(tmp_path, "5/6/20, 10:00 am - A: x\n5/6/20, 10:01 p. m. - A: y\n")
    assert dates(found)[0] == datetime(2020, 6, 5, 10)


def test_dates_that_do_not_exist_are_none(tmp_path: Path) -> None:
    found = chat(tmp_path, "31/2/20, 10:00 - A: x\n0/0/0, 99:99 - A: y\n1/1/9999, 10:00 - A: z\n")
    assert dates(found) == [None, None, datetime(9999, 1, 1, 10)]


@pytest.mark.parametrize(
    "text",
    [
        "<Media omitted>",
        "<Medien ausgeschlossen>",
        "<Médias omis>",
        "<Multimedia omitido>",
        "<Mídia oculta>",
        "<Без медиафайлов>",
        "\u200eimage omitted",
        "\u200eirgendwas weggelassen",
        "image omitted",
        "Bild weggelassen",
        "imagen omitida",
        "vidéo absente",
        "audio omesso",
        "plan.pdf • \u200e3 pages \u200edocument omitted",
        "IMG-20200101-WA0001.jpg (file attached)",
        "\u200eIMG-20200101-WA0001.jpg (Datei angehängt)",
        "STK-20200101-WA0001.webp (что угодно)",
        "plan of the house.pdf (archivo adjunto)",
        "\u200e<attached: 00000012-PHOTO-2020-01-01-10-00-00.jpg>",
        "location: https://maps.google.com/?q=1.0,2.0",
        "\u200ePOLL:\n\u200eWho?\n\u200eOPTION: me (1 vote)",
        "null",
        "",
    ],
)
def test_media_are_without_text(tmp_path: Path, text: str) -> None:
    found = chat(tmp_path, f"1/1/20, 10:00 - A: {text}\n1/1/20, 10:00 - A: end\n")
    assert lines(found) == [("A", "end")]
    assert dropped(found) == ["without text"]


@pytest.mark.parametrize(
    "text",
    [
        "This message was deleted",
        "\u200eYou deleted this message.",
        "Diese Nachricht wurde gelöscht.",
    ]
    + ["Ce message a été supprimé", "Mensagem apagada", "Questo messaggio è stato eliminato"],
)
def test_deleted_messages_are_dropped(tmp_path: Path, text: str) -> None:
    assert dropped(chat(tmp_path, f"1/1/20, 10:00 - A: {text}\n")) == ["deleted"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("so it is \u200e<This message was edited>", "so it is"),
        ("so it is <Diese Nachricht wurde bearbeitet.>", "so it is"),
        ("so it is \u200e<in any language>", "so it is"),
        ("I <3 you, <b>really</b>", "I <3 you, <b>really</b>"),
        ("<3", "<3"),
        ("NULL", "NULL"),
        ("I saw that the video omitted", "I saw that the video omitted"),
        ("see notes.txt (the new one)", "see notes.txt (the new one)"),
        ("IMG-20200101-WA0001.jpg (file attached)\nthe garden", "the garden"),
        ("<Media omitted>\nthe garden", "the garden"),
        ("the garden \u200e<attached: 1-PHOTO.jpg>", "the garden"),
        ("This message was deleted, I think", "This message was deleted, I think"),
        ("one\n\nthree", "one\n\nthree"),
    ],
)
def test_marks_are_taken_off_and_words_are_kept(tmp_path: Path, text: str, kept: str) -> None:
    assert lines(chat(tmp_path, f"1/1/20, 10:00 - A: {text}\n")) == [("A", kept)]


@pytest.mark.parametrize("piece", ["• ", " ", "\u200e<", "a.pdf (", ": "])
def test_long_lines_take_no_longer_than_they_should(tmp_path: Path, piece: str) -> None:
    text = f"1/1/20, 10:00 - A: a{piece * (60_000 // len(piece))}b\n"
    assert len(chat(tmp_path, text)) == 1


def test_what_the_app_says_is_a_system_message(tmp_path: Path) -> None:
    found = chat(
        tmp_path,
        "1/1/20, 10:00 - Messages and calls are end-to-end encrypted.\n"
        '1/1/20, 10:00 - Ann changed the subject from "a: b" to "c: d"\n'
        "1/1/20, 10:00 - Ann changed the group description\nof two lines\n"
        "1/1/20, 10:00 - +49 170 1234567: I am a number\n",
    )
    assert dropped(found) == ["system message"] * 3
    assert lines(found) == [("+49 170 1234567", "I am a number")]


def test_a_quoted_chat_inside_a_message_belongs_to_it(tmp_path: Path) -> None:
    quoted = "look:\n[1/1/20, 09:00:00] Bob: no\nyes"
    assert lines(chat(tmp_path, f"1/1/20, 10:00 - A: {quoted}\n")) == [("A", quoted)]


def test_the_conversation_is_named_after_the_file_or_the_zip(tmp_path: Path) -> None:
    def name(items: list[Item]) -> set[str]:
        return {item.conversation for item in items if isinstance(item, Message)}

    text = "[1/1/20, 10:00:00] Ann: hi\n"
    assert name(chat(tmp_path, text)) == {"Ann"}
    assert name(chat(tmp_path, text, "_chat.txt")) == {"_chat"}
    with zipfile.ZipFile(tmp_path / "WhatsApp Chat - Old friends.zip", "w") as archive:
        archive.writestr("_chat.txt", text)
    assert name(read(tmp_path / "WhatsApp Chat - Old friends.zip")) == {"Old friends"}


@pytest.mark.parametrize(
    "text",
    ["Call me Ishmael.\n", "2020-12-31 11:55:01,123 - root - INFO - started\n", "", "\x00\xff"],
)
def test_other_texts_are_not_taken_for_chats(tmp_path: Path, text: str) -> None:
    assert chat(tmp_path, text, "notes.txt") == []


@pytest.mark.parametrize("name", ["_chat.txt", "Chat de WhatsApp con Ann.txt"])
def test_a_chat_in_an_unknown_form_is_no_text_of_ones_own(tmp_path: Path, name: str) -> None:
    [item] = chat(tmp_path, "on the 1st at ten, Ann: a secret\n", name)
    assert isinstance(item, Broken)


def test_who_is_mentioned_is_hidden_as_everybody_is(tmp_path: Path) -> None:
    text = "@\u2068Bob\u2069, @\u2068~\u202fBob\u2069 or @491701234567, mail a@12345678.org"
    (tmp_path / "_chat.txt").write_text(
        f"[1/1/20, 10:00:00] Ann: {text}\n[1/1/20, 10:00:00] Bob: yes\n", encoding="utf-8"
    )
    [document], _ = documents(tmp_path, Policy(me=frozenset(["ann"])))
    assert document.text == "@Robin, @Robin or @[phone number], mail [mail address]"


def test_a_chat_that_is_cut_short_in_its_zip_gives_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "chat.zip"
    text = "".join(f"[1/1/20, 10:00:{n % 60:02}] Ann: message {n * n}\n" for n in range(20_000))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_chat.txt", text)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    found = read(path)
    assert lines(found)[:2] == [("Ann", "message 0"), ("Ann", "message 1")]
    assert isinstance(found[-1], Broken) or isinstance(found[-2], Broken)


said = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\x00<>\u200e\u200f\u202a\u202c\u2068\u2069")
).map(str.strip)


@given(
    st.lists(st.tuples(st.sampled_from(["Ann", "Bob B.", "+49 170 12"]), said.filter(bool))),
    st.sampled_from(["[%d/%m/%Y, %H:%M:%S] ", "%m/%d/%y, %I:%M %p - ", "%d.%m.%y, %H:%M - "]),
    st.integers(1, 100),
)
def test_made_chats_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    messages: list[tuple[str, str]],
    stamp: str,
    pause: int,
) -> None:
    messages = [
        one for one in messages if not re.search(r"(?m)^[^\w]*\d|^null$|^poll:$|omitted", one[1])
    ]
    start = datetime(2019, 12, 25, 13, 0)
    expected = [start + timedelta(hours=n * pause) for n in range(len(messages))]
    text = "".join(
        f"{date.strftime(stamp)}{sender}: {words}\n"
        for date, (sender, words) in zip(expected, messages, strict=True)
    )
    found = chat(tmp_path_factory.mktemp("made"), text, "c.txt")
    assert lines(found) == messages
    assert dates(found) == expected


@given(st.binary() | st.text("[]/1239:,-. aApPmM\n\u200e~", max_size=300).map(str.encode))
def test_nothing_in_a_file_raises(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "any.txt"
    path.write_bytes(data)
    with Archive([path]) as archive:
        for file in archive:
            whatsapp.recognises(file)
            list(whatsapp.read(file))
