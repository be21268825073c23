from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.importers.markdown import SOURCE
from corpus.importers.source import Broken, Dropped, Item, Text
from corpus.importing import Policy

from .made import documents, items, made, survives


def only(folder: Path, source: str | bytes, name: str = "note.md") -> Item:
    (item,) = items(made(folder, {name: source}), SOURCE)
    return item


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("# A\n\nb\nc\n\nd", "A\n\nb c\n\nd"),
        ("A\n===\nb", "A\n\nb"),
        ("a  \nb", "a\nb"),
        ("- a\n- b\n  1. c\n\nd", "a\nb\n\nc\n\nd"),
        ("*a* **b** `c` ~~d~~ \\*e\\*", "a b c d *e*"),
        ("[a](https://example.org 'x') <https://b> ![c](d.jpg)", "a https://b"),
        ("[a][1] b\n\n[1]: https://example.org", "a b"),
        ("> a\n\nb", "a\n\nb"),
        ("a\n\n```python\nb\n```\n\n    c\n\nd", "a\n\nd"),
        ("a <b>b</b>\n\n<div>c</div>\n<script>d</script>", "a b\n\nc"),
        ("a &amp; b &lt; c < d", "a & b < c < d"),
        ("| a | b |\n|---|---|\n| c | d |", "a b\nc d"),
        ('a {{< figure src="x" >}} b {{% note %}}c{{% /note %}}', "a b c"),
        ("{% include x.html %}a {{ site.title }}b{% raw %}c{% endraw %}", "a bc"),
        ("a[^1] b\n\n[^1]: c", "a b\n\nc"),
        ("[[Some page|a]] [[b]] ![[c.png]] %%d%% e ^block-1\n\n^block-2", "a b e"),
        ("[[Page#Part]] [[#Part]] [[Page#^b1]] [[Page#Part\\|C#]]", "Page > Part Part Page C#"),
        ("> [!note]- About\n> a\n> b\n\n> [!tip]\n> c", "About\n\na b\n\nc"),
        ("- [ ] a\n- [x] b\n1. [-] c\n\n[x] d", "a\nb\n\nc\n\n[x] d"),
        ("a ==b c== d a==b==c", "a b c d a==b==c"),
        ("#daily #a/b\n\na #b\n\n#1\n\n# c", "a #b\n\n#1\n\nc"),
        ("a\n\n```\n%%time\n```\n\nb\n\n~~~~x\n~~~\n%%\n~~~~\n\nc", "a\n\nb\n\nc"),
        ("```a``` b\n\n```\nc", "a b"),
        ("a\n{% highlight ruby %}\nb\n{% endhighlight %}\nc", "a\n\nc"),
        ('a\n{{< highlight go "x=1" >}}\nb {{ c }}\n{{< /highlight >}}\nd', "a\n\nd"),
        ("# a {#top}\n\nb\n{: .class }\n\nc {d}", "a\n\nb\n\nc {d}"),
        ("a\r\n\r\nb", "a\n\nb"),
        ("é”".encode("cp1252"), "é”"),
        ("---\n\n*He said: no.*\n\n---\na", "He said: no.\n\na"),
        ("---\nJust prose.\n\n---\na", "Just prose.\n\na"),
    ],
)
def test_what_a_reader_sees(tmp_path: Path, source: str | bytes, text: str) -> None:
    item = only(tmp_path, source)
    assert isinstance(item, Text)
    assert item.text == text


@pytest.mark.parametrize(
    "front",
    [
        "---\ntitle: A\ndate: 2024-05-06T07:08:09Z\ndraft: true\ntags: [b]\nauthor: Ada\n---\n",
        '\ufeff---\ntitle: "A"\ndate: "2024-05-06T07:08:09+00:00"\npublished: false\n'
        "author: Ada\n...\n",
        '+++\ntitle = "A"\ndate = 2024-05-06T07:08:09Z\ndraft = true\nauthor = "Ada"\n+++\n',
    ],
)
def test_front_matter(tmp_path: Path, front: str) -> None:
    assert only(tmp_path, f"{front}\nb\n") == Text(
        text="b",
        title="A",
        date=datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
        author="Ada",
        public=False,
    )
    assert documents(tmp_path, Policy())[0] == []


@pytest.mark.parametrize(
    "date",
    [
        "2024-05-06",
        "'2024-05-06'",
        "2024-05-06 00:00:00 +0000",
        "yesterday",
        "{a: b}",
        "2024-99-99",
    ],
)
def test_odd_front_matter(tmp_path: Path, date: str) -> None:
    item = only(tmp_path, f"---\ntitle: [1]\ndate: {date}\nauthor: 7\n---\nb")
    if date == "2024-99-99":  # YAML takes it for a date
        assert isinstance(item, Broken)
    else:
        assert isinstance(item, Text) and item.author is None
        zone = UTC if "+" in date else None
        assert item.date == (datetime(2024, 5, 6, tzinfo=zone) if "2024" in date else None)


def test_the_name_of_the_file(tmp_path: Path) -> None:
    plain = only(tmp_path / "obsidian", "a", "My note.md")
    assert isinstance(plain, Text) and plain.title == "My note" and plain.date is None
    dated = only(tmp_path / "jekyll", "---\n---\na", "_posts/2024-05-06-hello.markdown")
    assert isinstance(dated, Text)
    assert (dated.title, dated.date) == ("hello", datetime(2024, 5, 6))


@pytest.mark.parametrize(
    ("name", "front"),
    [
        ("_drafts/hello.md", ""),
        ("Takeout/Drive/hello.md", ""),
        ("hello.md", 'draft: "true"\n'),
        ("hello.md", "publish: false\n"),
    ],
)
def test_what_is_not_public(tmp_path: Path, name: str, front: str) -> None:
    item = only(tmp_path, f"---\n{front}---\na", name)
    assert isinstance(item, Text) and not item.public


BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefg"))


@pytest.mark.parametrize(
    "part", ["{% highlight", "{{", "[[", "==a", "%%", "#a", "> [!", "~~~", "```\n", "- [ "]
)
def test_what_never_ends_takes_no_hours(tmp_path: Path, part: str) -> None:
    only(tmp_path, f"{part * 30_000}!")


@pytest.mark.parametrize(
    ("front", "message"),
    [
        (f"---\n{BOMB}---\n", "aliases"),
        (f"---\na: {'x' * (1 << 16)}\n---\n", "longer than 65,536"),
        ("---\na: [\n---\n", "front matter"),
        ("---\na: !!python/object/apply:os.system [ls]\n---\n", "front matter"),
        (f"---\na: {'[' * 60_000}\n---\n", "nested too deep"),
        (f"---\n{'- ' * 30_000}\n---\n", "nested too deep"),
        ("---\na: !!timestamp b\n---\n", "front matter"),
        ("+++\na = \n+++\n", "front matter"),
    ],
)
def test_broken_front_matter_and_bombs(tmp_path: Path, front: str, message: str) -> None:
    item = only(tmp_path, front + "b")
    assert isinstance(item, Broken)
    assert item.place.endswith("/note.md") and message in item.message


def test_what_has_no_text(tmp_path: Path) -> None:
    assert only(tmp_path, "---\ntitle: A\n---\n```\ncode\n```\n") == Dropped("without text")


def test_huge_files_are_told(tmp_path: Path) -> None:
    _, report = documents(made(tmp_path, {"a.md": b"a\n" * (9 << 20)}))
    assert "larger than" in report.broken[0].message


@given(
    st.lists(st.text("abc dé–", min_size=1).map(str.split).map(" ".join).filter(bool), min_size=1)
)
def test_made_notes_come_back(
    tmp_path_factory: pytest.TempPathFactory, paragraphs: list[str]
) -> None:
    item = only(tmp_path_factory.mktemp("made"), "\n\n".join(paragraphs))
    assert isinstance(item, Text) and item.text == "\n\n".join(paragraphs)


MARKDOWN = st.text("ab \n\t#*_`[]()!<>|-+=~&;\\\"'{}%^1.:?@/")


@given(st.one_of(st.binary(), MARKDOWN.map(str.encode)), st.sampled_from(["", "---\n", "+++\n"]))
def test_garbage_raises_nothing(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, fence: str
) -> None:
    content = fence.encode() + content + b"\n" + fence.encode() + content
    survives(made(tmp_path_factory.mktemp("made"), {"a.md": content}), SOURCE)
