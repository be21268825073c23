import mailbox
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.archive import Archive
from corpus.importers.source import Dropped, Item, Text
from corpus.importing import Policy, Report, import_archive

FoundIn = Callable[[dict[str, bytes]], list[Item]]

SEPARATOR = b"From 1789@xxx Mon Jan 01 10:00:00 +0000 2024\r\n"


def mail(body: str = "Hello Bob,\n\nall is well.", **headers: str) -> bytes:
    """A mail that Ada sent; of headers, underscores are hyphens."""
    message = EmailMessage()
    plain = {
        "From": "Ada Löve <ada@x.org>",
        "To": "bob@x.org",
        "Date": "Mon, 01 Jan 2024 10:00:00 +0000",
        "Message-ID": "<1@x.org>",
        "X-Gmail-Labels": "Sent,Important",
    }
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in (plain | named).items():
        message[name] = value
    message.set_content(body)
    return message.as_bytes()


def mbox(*mails: bytes) -> dict[str, bytes]:
    name = "Takeout/Mail/Alle E-Mails einschließlich Spam-Nachrichten und E.mbox"
    return {name: b"".join(SEPARATOR + one.rstrip() + b"\r\n\r\n" for one in mails)}


def words(found: list[Item]) -> list[str]:
    return [item.text for item in found if isinstance(item, Text)]


def own(found_in: FoundIn, body: str) -> str:
    (text,) = words(found_in(mbox(mail(body))))
    return text


def test_a_sent_mail(found_in: FoundIn) -> None:
    assert found_in(mbox(mail(Subject="Re: AW: Grüße"))) == [
        Text(
            text="Hello Bob,\n\nall is well.",
            id="1@x.org",
            title="Grüße",
            date=datetime(2024, 1, 1, 10, tzinfo=UTC),
            author="Ada Löve",
            mine=True,
        )
    ]


def test_the_mails_are_those_that_mailbox_finds(found_in: FoundIn, tmp_path: Path) -> None:
    bodies = ["one", "From here on\n\nFrom there", ">From quoted", "\n\nfour\n\n", "ü\n"]
    box = mailbox.mbox(tmp_path / "a.mbox")
    for number, body in enumerate(bodies):
        box.add(mail(body + f"\nend {number}", Message_ID=f"<{number}@x>"))
    box.flush()
    content = (tmp_path / "a.mbox").read_bytes()
    found = [item for item in found_in({"a.mbox": content}) if isinstance(item, Text)]
    assert [text.id for text in found] == [f"{number}@x" for number in range(len(box))]
    assert found[1].text == "From here on\n\nFrom there\nend 1"


def test_only_ones_own_mail_goes_in_by_default(
    make_tree: Callable[[dict[str, bytes]], Path],
) -> None:
    theirs = mail(
        "Hi Ada", From="Bob <bob@x.org>", X_Gmail_Labels="Inbox", Message_ID="<2@x>",
        Delivered_To="ada@x.org", Received="by x",
    )  # fmt: skip
    in_icelandic = mail("Own", X_Gmail_Labels="Sent í dag", Message_ID="<3@x>")
    from_work = mail(
        "Own, too", From="Ada at work <ada@y.org>", X_Gmail_Labels="Inbox", Message_ID="4"
    )
    report = Report()
    with Archive([make_tree(mbox(theirs, mail(), in_icelandic, from_work))]) as archive:
        documents = list(import_archive(archive, Policy(), report))
        me = Policy(me=frozenset(["ada at work"]))
        assert "Own, too" in [document.text for document in import_archive(archive, me, Report())]
    assert [document.text for document in documents] == ["Hello Bob,\n\nall is well.", "Own"]
    assert report.sources["Mail"].dropped == {"somebody else's (--others)": 2}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Sent.mbox", True),
        ("Gesendete Objekte.mbox/mbox", True),
        ("Sent/1.eml", True),
        ("Sent.eml", False),
        ("Inbox.mbox", False),
        ("Entwu\u0308rfe.mbox", "draft"),
    ],
)
def test_what_the_names_of_mailboxes_say(
    found_in: FoundIn, name: str, expected: bool | str
) -> None:
    received = b"From: Ada <ada@y.org>\r\nReceived: by x\r\n\r\nHello"
    (item,) = found_in({name: received if name.endswith(".eml") else SEPARATOR + received})
    assert expected == (item.mine if isinstance(item, Text) else vars(item)["reason"])


def test_a_mail_that_has_not_travelled_is_ones_own(found_in: FoundIn) -> None:
    sent = mail().replace(b"X-Gmail-Labels: Sent,Important\n", b"")
    received = b"Received: from x by y\n" + sent
    found = found_in({"a.eml": sent, "b.eml": received})
    assert [text.mine for text in found if isinstance(text, Text)] == [True, False]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"X_Gmail_Labels": "Drafts"}, "draft"),
        ({"X_Gmail_Labels": "Entwürfe,Gesendet"}, "draft"),
        ({"X_Gmail_Labels": "Spam,Unread"}, "spam"),
        ({"X_Gmail_Labels": "Sent,Trash"}, "deleted"),
        ({"X_Gmail_Labels": "Chat"}, "chat"),
        ({"Auto_Submitted": "auto-replied"}, "bot"),
        ({"Precedence": "bulk"}, "bot"),
        ({"List_Id": "<a.b>"}, "bot"),
    ],
)
def test_what_nobody_sent_to_anybody_is_dropped(
    found_in: FoundIn, headers: dict[str, str], reason: str
) -> None:
    assert found_in(mbox(mail(**headers))) == [Dropped(reason)]


@pytest.mark.parametrize(
    "quote",
    [
        "On Mon, Jan 1, 2024 at 3:00 PM Bob <bob@x.org> wrote:\n\n> Hi\n>\n> Bob\n",
        "On Mon, Jan 1, 2024 at 3:00 PM Bob With a Rather Long Name\n<bob@x.org> wrote:\n> Hi",
        "Am Mo., 1. Jan. 2024 um 15:00 Uhr schrieb Bob <bob@x.org>:\n\n> Hi",
        "Le lun. 1 janv. 2024 à 15:00, Bob <bob@x.org> a écrit :\n> Hi",
        "El lun, 1 ene 2024 a las 15:00, Bob (<bob@x.org>) escribió:\n> Hi",
        "man. 1. jan. 2024 kl. 15:00 skrev Bob With a Rather Long Name\n<bob@x.org>:\n> Hi",
        "пн, 1 янв. 2024 г. в 15:00, Bob <bob@x.org>:\n\n> Hi",
        "2024年1月1日(月) 15:00 Bob <bob@x.org>:\n\n> Hi",
        "Bob <bob@x.org> 于2024年1月1日周一 15:00写道\uff1a\n\n> Hi",
        "Bob wrote:\n> Hi",
        "On Monday, January 1, 2024, 03:00:00 PM GMT+1, Bob <bob@x.org> wrote:\n\nHi\nBob",
        "-----Original Message-----\nFrom: Bob\nSent: Monday\n\nHi",
        "De : Bob <bob@x.org>\nEnvoyé : lundi 1 janvier 2024\nÀ : Ada\nObjet : Hi\n\nHi",
        "Gesendet: Montag, 1. Januar 2024 um 15:00 Uhr\nVon: Bob\nAn: Ada\nBetreff: Hi\n\nHi",
        "Od: Bob <bob@x.org>\nWysłano: poniedziałek\nDo: Ada\n\nHi",
        "---------- Forwarded message ---------\nFrom: Bob\n\nHi",
        "________________________________\nFrom: Bob <bob@x.org>\nSent: Monday\nTo: Ada\n\nHi",
        "Von: Bob <bob@x.org>\nGesendet: Montag\nAn: Ada\n\nHi",
        "-- \nAda Löve\nCountess",
        "Sent from my iPhone",
        "Von meinem iPhone gesendet",
        "Verstuurd vanaf mijn iPhone",
        "Sent from my iPhone\n\n> On 1 Jan 2024, at 15:00, Bob <bob@x.org> wrote:\n> Hi",
    ],
)
def test_other_peoples_words_and_signatures_go(found_in: FoundIn, quote: str) -> None:
    assert own(found_in, f"Mine: 1 - 2.\n\nAnd mine.\n\n{quote}\n") == "Mine: 1 - 2.\n\nAnd mine."


def test_answers_between_quotes_stay(found_in: FoundIn) -> None:
    body = "On 1 Jan 2024, Bob wrote:\n> One?\nYes.\n\n> Two?\n>\n> Three?\n\nNo:\nnever."
    assert own(found_in, body) == "Yes.\n\nNo:\nnever."


def test_what_is_introduced_as_a_quote_and_is_none_stays(found_in: FoundIn) -> None:
    body = "On 1 January 2024 the mayor wrote:\n\nWe are well.\n\nSo are we."
    assert own(found_in, body) == body


def test_what_looks_like_a_quote_and_is_none_stays(found_in: FoundIn) -> None:
    body = "On Monday we met:\n\nTwice.\n\n--- Plan ---\n\nFrom: here\nwe go on.\n\n--help is one"
    assert own(found_in, body) == body


def test_a_mail_without_words_of_ones_own(found_in: FoundIn) -> None:
    forwarded = mail("---------- Forwarded message ---------\nFrom: Bob\n\nHi")
    assert found_in(mbox(forwarded)) == [Dropped("forwarded")]
    assert found_in(mbox(mail("> Hi"), mail(" \n"))) == [Dropped("without text")] * 2


def test_html_where_there_is_no_plain_text(found_in: FoundIn) -> None:
    html = (
        "<html><style>p {}</style><body><p>Hello<br>Bob</p><blockquote><p>A</p><blockquote>B"
        "</blockquote></blockquote><p>Bye</p><div class=gmail_quote><div class=gmail_attr>On 1 Jan "
        "2024 Bob wrote:</div><blockquote>Hi</blockquote></div></body></html>"
    )
    message = MIMEMultipart("alternative")
    message["X-Gmail-Labels"] = "Sent"
    message.attach(MIMEText(html, "html", "utf-8"))
    assert words(found_in(mbox(message.as_bytes()))) == ["Hello\nBob\n\nBye"]
    message.attach(MIMEText("plain", "plain"))
    assert words(found_in(mbox(message.as_bytes()))) == ["plain"]


def test_text_goes_on_behind_a_picture(found_in: FoundIn) -> None:
    message = MIMEMultipart()
    message["X-Gmail-Labels"] = "Sent"
    picture, notes = MIMEBase("image", "png"), MIMEText("notes", "plain")
    notes.add_header("Content-Disposition", "inline", filename="notes.txt")
    for part in (MIMEText("Before.\n", "plain"), picture, notes, MIMEText("Behind.", "plain")):
        message.attach(part)
    assert words(found_in(mbox(message.as_bytes()))) == ["Before.\n\nBehind."]
    message = MIMEMultipart()
    message["X-Gmail-Labels"] = "Sent"
    for part in (MIMEText("<p>Before.", "html"), picture, MIMEText("<p>Behind.", "html")):
        message.attach(part)
    assert words(found_in(mbox(message.as_bytes()))) == ["Before.\n\nBehind."]


def test_signed_mail(found_in: FoundIn) -> None:
    body = (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nMine.\n"
        "-----BEGIN PGP SIGNATURE-----\n\niQEz\n-----END PGP SIGNATURE-----"
    )
    assert own(found_in, body) == "Mine."


def test_lines_that_a_program_broke_are_joined(found_in: FoundIn) -> None:
    story = ("It was a dark and stormy night, and the fox slept under the hedge. " * 5).strip()
    item = f"- {'x' * 70}"
    broken = [textwrap.fill(story, width) for width in (76, 72)]
    body = f"Hello,\n{broken[0]}\n{item}\n- b\n\n{broken[1]}"
    assert own(found_in, body) == f"Hello,\n{story}\n{item}\n- b\n\n{story}"
    assert own(found_in, f"{item} x\nSent from my iPhone") == f"{item} x"
    whole = f"{story}\n{story[:75]}\nAda"
    assert own(found_in, whole) == whole


def test_attachments_and_attached_mails_are_not_read(found_in: FoundIn) -> None:
    message = MIMEMultipart()
    message["X-Gmail-Labels"] = "Sent"
    notes = MIMEText("notes", "plain")
    notes.add_header("Content-Disposition", "attachment", filename="a.txt")
    inner = MIMEBase("message", "rfc822")
    inner.attach(MIMEText("somebody else's", "plain"))
    for part in (notes, inner, MIMEText("mine", "plain")):
        message.attach(part)
    assert words(found_in(mbox(message.as_bytes()))) == ["mine"]


@pytest.mark.parametrize(
    ("charset", "raw", "text"),
    [
        ("utf-8", "ü".encode(), "ü"),
        ("iso-8859-1", b"\x93\xfc\x94", "“ü”"),
        ("x-unknown", "ü".encode(), "ü"),
        ("utf-8", b"\xfc", "ü"),
        ("utf-8", "äöüßé".encode() + b"\xfcber", "äöüßé\ufffdber"),
        ("hex", b"zz", "zz"),
        ('"a\x00b"', "ü".encode(), "ü"),
        ("idna", "ü".encode(), "ü"),
        ("utf-7", b"half +2D0-", "half ?"),
    ],
)
def test_encodings_whatever_they_say(
    found_in: FoundIn, charset: str, raw: bytes, text: str
) -> None:
    head = f"X-Gmail-Labels: Sent\r\nContent-Type: text/plain; charset={charset}\r\n\r\n"
    assert words(found_in(mbox(head.encode() + raw))) == [text]


@pytest.mark.parametrize(
    ("raw", "title"),
    [
        ("Subject: Grüße".encode(), "Grüße"),
        (b"Subject: =?utf-8?B?R3LDvMOfZQ==?=", "Grüße"),
        (b"Subject: =?x-none?Q?a?=", "=?x-none?Q?a?="),
        (b"Subject: =?utf-8?B?A?=", None),
        (b"Subject: Re[2]: Fwd: =?utf-8?Q?a?=\r\n =?utf-8?Q?b?=", "ab"),
    ],
)
def test_subjects_whatever_they_are(found_in: FoundIn, raw: bytes, title: str | None) -> None:
    (text,) = found_in(mbox(raw + b"\r\nX-Gmail-Labels: Sent\r\n\r\nx"))
    assert isinstance(text, Text)
    assert text.title == title or title is None


@pytest.mark.parametrize(
    "body",
    [
        "On 1 " + "1 " * 500_000 + "\n> Hi",
        "-" * 1_000_000 + "x",
        "\n" * 1_000_000 + "x",
        "From: x\n" * 100_000,
        "_" * 1_000_000 + "\n" * 100_000,
        "> Hi\n" * 200_000,
        "Sent from my " * 100_000,
        "x \n" * 200_000,
        "On 2024 wrote " * 100_000,
        "-----BEGIN PGP SIGNED MESSAGE-----\n" * 30_000 + "x",
        ("On " + "2024 " * 40 + "@" * 200 + "\n") * 20_000,
        "a" * 60 + "\n" + ("1:00 " * 12 + "\n") * 20_000 + ">",
    ],
    ids=lambda body: body[:6],
)
def test_long_bodies_take_no_quadratic_time(found_in: FoundIn, body: str) -> None:
    """No clock: a test of quadratic time would not end."""
    head = "X-Gmail-Labels: Sent\r\nContent-Type: text/plain; format=flowed\r\n\r\n"
    assert len(found_in(mbox((head + body).encode()))) == 1


@pytest.mark.parametrize("piece", ["<div>", "<blockquote>", "<blockquote>x</blockquote>"])
def test_long_and_deep_html(found_in: FoundIn, piece: str) -> None:
    head = "X-Gmail-Labels: Sent\r\nContent-Type: text/html\r\n\r\nmine"
    assert words(found_in(mbox((head + piece * 20_000).encode()))) == ["mine"]


def test_flowed_lines_join(found_in: FoundIn) -> None:
    head = "X-Gmail-Labels: Sent\r\nContent-Type: text/plain; format=flowed\r\n\r\n"
    body = "One \r\nparagraph \r\nhere.\r\n\r\n> a quote \r\nA second. \r\n-- \r\nAda"
    assert words(found_in(mbox((head + body).encode()))) == ["One paragraph here.\n\nA second."]
    head = head.replace("flowed", "Flowed; DelSp=Yes")
    body = "One  \r\npara \r\ngraph. \r\n  Set in.\r\n From here."
    assert words(found_in(mbox((head + body).encode()))) == ["One paragraph. Set in.\nFrom here."]


def test_other_files_are_not_read(found_in: FoundIn) -> None:
    files = {"a.mbox": b"no mails", "b.eml": b"From nobody"}
    assert found_in(files) == []


# Shorter than what programs break.
lines = st.text(st.characters(codec="utf-8", categories=("L", "P", "Zs", "S")), max_size=50).filter(
    lambda line: line.strip() and line.strip()[0] not in ">-_" and ":" not in line
)


@given(st.lists(st.lists(lines, min_size=1)))
def test_made_mails_come_back(found_in: FoundIn, bodies: list[list[str]]) -> None:
    found = found_in(mbox(*(mail("\n".join(body)) for body in bodies)) if bodies else {})
    expected = ["\n".join(line.rstrip() for line in body).strip() for body in bodies]
    assert words(found) == expected
