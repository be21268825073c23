"""Google's Takeout as a whole: what is read of it, and what is not."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from corpus.archive import Archive
from corpus.importing import Policy, Report, import_archive

COMMENTS = b'Kommentar-ID,Kommentartext\nUgxxxxxxxxxxxxxxx,"{""text"":""A comment""}"\n'
MAIL = b"From 1@xxx Mon Jan 01 10:00:00 +0000 2024\nX-Gmail-Labels: Sent\n\nA mail\n"
KNOWN = {
    "Gmail/Alle E-Mails einschließlich Spam-Nachrichten und E.mbox": ("mail", MAIL),
    "YouTube und YouTube Music/Kommentare/Kommentare.csv": ("youtube", COMMENTS),
    "YouTube und YouTube Music/Livechats/Livechats.csv": ("youtube", COMMENTS),
}
ACTIVITY = {"header": "YouTube", "title": "Watched a", "time": "2024-01-01T00:00:00Z"}
OTHERS = {
    ".json": json.dumps([ACTIVITY]).encode(),
    ".csv": b"Video ID,Text\na,b\n",
    ".txt": b"[01/01/2024] a\n",
}
USER = b'{"user": {"name": "Ada", "email": "ada@x.org"}, "membership_info": []}'


def real_names(tree: Path) -> list[str]:
    """As git lists them: quoted and with octal escapes where they are not ASCII."""
    return [
        line.strip('"').encode("latin-1").decode("unicode_escape").encode("latin-1").decode()
        for line in tree.read_text().splitlines()
    ]


def test_of_the_real_names_those_with_texts_are_recognised(
    shared_data: Path,
    make_tree: Callable[[dict[str, bytes]], Path],
    sources_of: Callable[[Path], dict[str, str | None]],
) -> None:
    activity = (shared_data / "takeout/MyActivity.html").read_bytes()
    expected: dict[str, str | None] = {}
    files: dict[str, bytes] = {}
    for name in real_names(shared_data / "takeout/real_takeout_file_tree.txt"):
        other = USER if name.endswith("user_info.json") else OTHERS.get(Path(name).suffix, activity)
        tail = name.partition("/testdata/")[2].partition("/")[2]
        expected[name], files[name] = KNOWN.get(tail, (None, other))
    assert len(files) > 150
    assert sorted(filter(None, expected.values())) == ["mail", "youtube", "youtube"]
    # A text file that is nobody's is a plain text, wherever it lies.
    found = sources_of(make_tree(files))
    assert {
        name: None if source == "text" else source for name, source in found.items()
    } == expected


def test_a_whole_takeout(tmp_path: Path) -> None:
    note = {"isTrashed": False, "userEditedTimestampUsec": 1, "textContent": "A note"}
    messages = [
        {"creator": {"name": name, "email": f"{name}@x.org"}, "text": text}
        for name, text in [("Ada", "A message"), ("Bob", "An answer")]
    ]
    takeout = tmp_path / "takeout-20240101T000000Z-001.zip"
    with zipfile.ZipFile(takeout, "w") as file:
        for name, (_, content) in KNOWN.items():
            file.writestr(f"Takeout/{name}", content)
        file.writestr("Takeout/Google Notizen/Notiz.json", json.dumps(note))
        file.writestr("Takeout/Google Chat/Users/User 1/user_info.json", USER)
        chat = json.dumps({"messages": messages})
        file.writestr("Takeout/Google Chat/Groups/DM a/messages.json", chat)

    def texts(policy: Policy) -> tuple[list[str], Report]:
        report = Report()
        with Archive([takeout]) as archive:
            return [document.text for document in import_archive(archive, policy, report)], report

    own, report = texts(Policy())
    assert own == ["A mail", "A comment", "A message"]
    assert report.sources["Google Keep"].dropped == {"not public (--include-private)": 1}
    assert report.sources["YouTube"].dropped == {"there already": 1}
    assert report.broken == []
    everything, _ = texts(Policy(others=True, include_private=True))
    assert everything == ["A mail", "A comment", "A note", "- A message\n\n> An answer"]
