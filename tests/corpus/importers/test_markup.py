import re
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from corpus.importers.markup import decode_html, html_text, take_out


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("a", "a"),
        ("<p>a<p>b", "a\n\nb"),
        ("<p>a\n  b</p>", "a b"),
        ("a<br>b", "a\nb"),
        ("a<br><br>b", "a\n\nb"),
        ("<ul><li>a</li>\n<li>b</li></ul>c", "a\nb\n\nc"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("a<b>b</b><i>c</i>", "abc"),
        ("<p>a&nbsp;b &amp; c &lt;d&gt;</p>", "a b & c <d>"),
        ("<pre>a\n  b</pre>", "a\nb"),
        ("<pre><code>a\nb</code></pre>", "a\nb"),
        ("<fieldset><legend>a</legend>b</fieldset>", "a\n\nb"),
        ("<p>a</p><script>b</script><style>c</style><!-- d --><figcaption>e</figcaption>", "a"),
        ("<p>a</p><svg><title>b</title></svg><textarea>c</textarea>", "a"),
        ("<p>He said <q>Go!</q></p>", 'He said "Go!"'),
        ("<ruby>漢字<rp>(</rp><rt>kanji</rt><rp>)</rp></ruby>", "漢字"),
        ("a<sup>[<a href=#n1>1</a>]</sup> b<a href=#n2><sup>2</sup></a> 5<sup>th</sup>", "a b 5th"),
        ("a\x01b\x02c", "abc"),
        ("a\ud800b", "ab"),
        ("<frameset><frame></frameset>", ""),
    ],
)
def test_what_a_reader_sees(html: str, text: str) -> None:
    assert html_text(html) == text


def test_elements_are_taken_out_once_however_they_are_found() -> None:
    page = LexborHTMLParser("<nav role=a>x<nav class=b>y</nav></nav><p>z<nav>x</nav>" * 20_000)
    take_out(page, "nav, [role=a], nav > .b")
    assert html_text(page.html or "").split() == ["z"] * 20_000


def test_documents_deeper_than_python_can_go() -> None:
    assert html_text("<div>" * 20_000 + "a") == "a"
    assert html_text("<b>" * 3_000 + "a") == "a"


@given(st.one_of(st.text(), st.text("<>/=\"'&;#!-[] abpdivtr\n\x00\ud800")))
def test_any_text_is_html(html: str) -> None:
    text = html_text(html)
    assert text == text.strip()
    assert not re.search(r"\n{3}|[ \t]\n|\n |  ", text)


WORDS = st.lists(st.text("abcé<>&\"'", min_size=1, max_size=5), max_size=6)
INLINE, BLOCK = ("b", "i", "a", "span"), ("p", "div", "li", "td", "h2", "blockquote", "section")


def fragment(words: list[str], tag: str) -> str:
    return f"<{tag}>{' '.join(map(escape, words))}</{tag}>"


@given(st.lists(st.tuples(WORDS, st.sampled_from(INLINE + BLOCK[:3] + BLOCK[4:]))))
def test_the_words_are_those_of_the_text_nodes(parts: list[tuple[list[str], str]]) -> None:
    html = " ".join(fragment(words, tag) for words, tag in parts)
    assert html_text(html).split() == [word for words, _ in parts for word in words]


@given(st.lists(WORDS.filter(bool), min_size=1))
def test_blocks_keep_words_apart_without_blanks(parts: list[list[str]]) -> None:
    html = "".join(fragment(words, "p") for words in parts)
    assert html_text(html).split("\n\n") == [" ".join(words) for words in parts]


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("é".encode(), "é"),
        (b"\xef\xbb\xbfa", "a"),
        (b"\x93a\x94", "“a”"),
        (b"<meta charset=utf-8>\x93a\x94", "<meta charset=utf-8>“a”"),
        ("“Où?” Là!".encode() + b"\xe9", "“Où?” Là!\ufffd"),
        ('<meta charset="iso-8859-1">“'.encode("cp1252"), '<meta charset="iso-8859-1">“'),
        ("<meta charset=koi8-r>да".encode("koi8-r"), "<meta charset=koi8-r>да"),
        (b"<meta charset=klingon>\xe9", "<meta charset=klingon>é"),
        (b"<meta charset=idna>\xe9", "<meta charset=idna>é"),
        ("aé".encode("utf-16"), "aé"),
    ],
)
def test_encodings_of_pages(page: bytes, text: str) -> None:
    assert decode_html(page) == text


@given(st.binary())
def test_any_bytes_are_a_page(page: bytes) -> None:
    html_text(decode_html(page))
