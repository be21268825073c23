from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.importers.source import Dropped, Text
from corpus.importers.webpages import SOURCE
from corpus.importing import Policy

from .made import documents, items, made, survives

WORDS = "The quick brown fox jumps over the lazy dog, and the dog does not mind it at all. " * 3
STORY = f"<p>{WORDS}</p><p>The end.</p>"
EXPECTED = f"{WORDS.strip()}\n\nThe end."


def page(body: str, head: str = "<title>Foxes - My site</title>") -> str:
    return f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>"


@pytest.mark.parametrize(
    "body",
    [
        STORY,
        f"<nav>Home</nav><header>My site</header>{STORY}<footer>Imprint</footer>",
        f"<div>Home</div><main><aside>Buy</aside>{STORY}</main><div>Imprint</div>",
        f"<div role=main>{STORY}</div><div>Imprint</div>",
        f"<main>Home<article><header>By Ada</header>{STORY}</article>More</main>",
        f"<main>{STORY}<form>Search <input></form><script>x</script></main>",
        f"<form id=aspnetForm><input type=hidden>{STORY}</form>",
        f"<article>{STORY}</article><ol class=comment-list><li><article>Nice!</article></ol>",
        f"<div>{STORY}</div><ul class='comments'><li>Nice!</li></ul>",
        f"<div>{STORY}</div><section id=comments><h2>1 comment</h2><p>Nice!</p></section>",
        f"<div>*** START OF THE PROJECT GUTENBERG EBOOK A ***</div>{STORY}<p>*** END OF THE "
        "PROJECT GUTENBERG EBOOK A ***</p><p>Licence.</p>",
        f"<a name=top>{STORY}",
        f"<header role=banner><nav role=navigation>Home</nav></header>{STORY}",
    ],
)
def test_the_main_text(tmp_path: Path, body: str) -> None:
    (item,) = items(made(tmp_path, {"a.html": page(body)}), SOURCE)
    assert item == Text(text=EXPECTED, title="Foxes - My site")


def test_what_is_known_of_a_page(tmp_path: Path) -> None:
    head = (
        "<title>Foxes - My site</title><link rel=canonical href='https://site.example/foxes'>"
        "<meta name=author content=' Ada '>"
        "<meta property='article:published_time' content='2024-05-06T07:08:09'>"
    )
    (item,) = items(made(tmp_path, {"a.htm": page(f"<h1>Foxes</h1>{STORY}", head)}), SOURCE)
    assert item == Text(
        text=EXPECTED,
        id="https://site.example/foxes",
        title="Foxes",
        date=datetime(2024, 5, 6, 7, 8, 9),
        url="https://site.example/foxes",
        author="Ada",
    )


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<p>Under construction.</p>",
        "<ul>" + f"<li><a href=x>{WORDS}</a></li>" * 20 + "</ul>",
        f"<nav>{STORY}</nav>",
    ],
)
def test_pages_without_text(tmp_path: Path, body: str) -> None:
    assert items(made(tmp_path, {"a.html": page(body)}), SOURCE) == [Dropped("without text")]


def test_real_pages_of_others_are_not_claimed(shared_data: Path) -> None:
    for path in (
        shared_data / "takeout/MyActivity.html",
        shared_data / "facebook/simulated_data.htm",
        *sorted((shared_data / "bulbapedia/html2018").glob("*.html"))[:3],
    ):
        _, report = documents(path)
        assert SOURCE.label not in report.sources


@pytest.mark.parametrize(
    "body",
    [
        '<div class="page_wrap">\n <div class="page_header"></div><div class="history">',
        "<div class=chatlog><div class=chatlog__message-group>",
        '<div class="hChatLog hfeed"><div class="message">',
        '<div class="note DEFAULT">\n<div class="heading"></div>',
    ],
    ids=["Telegram", "DiscordChatExporter", "Google Voice", "Google Keep"],
)
def test_what_only_few_could_read_is_no_web_page(tmp_path: Path, body: str) -> None:
    found, report = documents(made(tmp_path, {"a.html": page(body + STORY)}))
    assert found == []
    assert SOURCE.label not in report.sources


def test_elements_that_end_in_themselves(tmp_path: Path) -> None:
    xhtml = page(STORY, "<script src='x'/><title/>")
    (item,) = items(made(tmp_path, {"a.xhtml": xhtml}), SOURCE)
    assert isinstance(item, Text) and item.text == EXPECTED


def test_pages_in_a_takeout_are_not_public(tmp_path: Path) -> None:
    path = made(tmp_path, {"Takeout/Google-Konto/Ada.SubscriberInfo.html": page(STORY)})
    assert documents(path, Policy())[0] == []
    assert [document.text for document in documents(path)[0]] == [EXPECTED]


def test_text_without_blanks_between_words(tmp_path: Path) -> None:
    text = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 5
    (item,) = items(made(tmp_path, {"a.html": page(f"<p>{text}</p>")}), SOURCE)
    assert isinstance(item, Text) and item.text == text


@pytest.mark.parametrize("content", ["", "Just text.", b"\0\1\2", "<p>a</p>"])
def test_what_is_no_page(tmp_path: Path, content: str | bytes) -> None:
    _, report = documents(made(tmp_path, {"a.html": content}))
    assert report.unknown == {".html": 1}


@given(
    st.lists(st.text("abc dé–", min_size=1).map(str.split).map(" ".join).filter(bool), min_size=1)
)
def test_made_pages_come_back(
    tmp_path_factory: pytest.TempPathFactory, paragraphs: list[str]
) -> None:
    body = STORY + "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    (item,) = items(made(tmp_path_factory.mktemp("made"), {"a.html": page(body)}), SOURCE)
    assert isinstance(item, Text) and item.text == "\n\n".join([EXPECTED, *paragraphs])


@given(st.data())
def test_garbage_raises_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = page(f"<article><h1>a</h1>{STORY}<a href=x>b</a></article>").encode()
    content = whole[: data.draw(st.integers(0, len(whole)))] + data.draw(st.binary())
    survives(made(tmp_path_factory.mktemp("made"), {"a.html": content}), SOURCE)
