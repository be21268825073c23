"""The importers of archives: any bytes, as files of each source.

Input: the name of a source and a line feed, then the bytes that all its files have.
"""

import json
import os
from pathlib import Path

import atheris

from tests.fuzz.harness import main

with atheris.instrument_imports(include=["corpus"]):
    from corpus.archive import Archive
    from corpus.documents import file_name
    from corpus.importers import SOURCES
    from corpus.importing import Policy, Report, import_archive, write_report

# Names that a reader goes by, of files and their companions.
_NAMES = {
    "blogger": "feed.atom",
    "discord": "messages.json messages.csv",
    "epub": "book.epub",
    "facebook": "your_posts_1.json profile_information.json",
    "feed": "feed.xml",
    "googlechat": "messages.json group_info.json Users/1/user_info.json",
    "mail": "mbox mail.eml",
    "markdown": "page.md",
    "mastodon": "outbox.json actor.json",
    "messenger": "message_1.json message_2.json messages.htm",
    "reddit": "RC RC.zst comments.csv list.json",
    "text": "book.txt",
    "tumblr": "html/1.html posts.xml",
    "twitter": "tweets.js note-tweet.js account.js protected-history.js",
    "webpage": "page.html",
    "whatsapp": "_chat.txt",
    "wordpress": "blog.xml",
    "writingprompts": "train.wp_source train.wp_target",
    "youtube": "comments.csv",
}
_SOURCES = {source.name.encode(): source for source in SOURCES}
_ALL = Policy(me=frozenset(["ada"]), others=True, include_private=True)


def try_input(folder: Path, data: bytes) -> None:
    name, _, content = data.partition(b"\n")
    source = _SOURCES.get(name)
    if source is None:
        return
    files = folder / source.name
    for path in (files / name for name in _NAMES.get(source.name, "file.json").split()):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    report = Report()
    with Archive([files]) as archive:
        for file in archive:
            for other in SOURCES:
                other.recognises(file)
        for document in import_archive(archive, _ALL, report, source=source):
            assert document.text.strip() and document.text.encode()
            assert len(os.fsencode(file_name(document.id))) < 255
            json.dumps(vars(document), ensure_ascii=False).encode()
    write_report(report, folder)


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Other bytes of the same source."""
    name, _, content = data.partition(b"\n")
    start = name + b"\n"
    return start + atheris.Mutate(content, max(1, max_size - len(start)))


if __name__ == "__main__":
    main(try_input, mutate)
