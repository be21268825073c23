"""The pages, as they are without JavaScript."""

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from bs4 import BeautifulSoup, Tag
from flask.testing import FlaskClient

from app import create_app


def parse(page: str) -> BeautifulSoup:
    return BeautifulSoup(page, "lxml")


def element(page: BeautifulSoup, selector: str) -> Tag:
    found = page.select_one(selector)
    assert found is not None, selector
    return found


def test_the_form(client: FlaskClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    page = parse(answer.text)
    form = element(page, "form")
    assert (form["action"], form["method"]) == ("/story", "get")
    assert element(page, f"label[for={element(form, 'textarea')['id']}]").text
    assert element(page, "#story").has_attr("hidden")
    assert len(page.select("#examples a")) == 3


def test_names_that_shared_links_collect_do_not_ask_for_json(client: FlaskClient) -> None:
    assert client.get("/?fbclid=abc&utm_source=x").mimetype == "text/html"
    assert client.get("/story?prefix=Wren&fbclid=abc").status_code == 200


def test_a_story(client: FlaskClient) -> None:
    answer = client.get("/story?prefix=+Wren+and+&seed=5&length=40&end=token")
    assert answer.status_code == 200
    page = parse(answer.text)
    assert not element(page, "#story").has_attr("hidden")
    assert element(page, "#begun").text == "Wren and"
    story = client.get("/generate?prefix=Wren+and&seed=5&length=40&end=token").get_json()
    assert story["model"] in element(page, "#facts").text
    assert f"{story['tokens']} tokens" in element(page, "#facts").text
    assert element(page, "textarea").text == "Wren and"


def test_the_link_shows_the_same_story_and_try_again_another(client: FlaskClient) -> None:
    page = parse(client.get("/story?prefix=Wren&length=30").text)
    link = str(element(page, "#link")["href"])
    assert dict(parse_qsl(urlsplit(link).query)).keys() == {"prefix", "length", "seed"}
    replayed = parse(client.get(link).text)
    assert element(replayed, "#written").text == element(page, "#written").text
    again = str(element(page, "#again")["href"])
    assert dict(parse_qsl(urlsplit(again).query)) == {"prefix": "Wren", "length": "30"}


def test_markup_is_text(client: FlaskClient) -> None:
    prefix = "<script>alert(1)</script>\"'<b>&amp;"
    answer = client.get("/story", query_string={"prefix": prefix, "seed": 1, "length": 5})
    assert prefix not in answer.text
    page = parse(answer.text)
    assert element(page, "#begun").text == prefix
    assert element(page, "textarea").text == prefix
    assert [script["src"] for script in page.select("script")]
    assert all(not script.text for script in page.select("script"))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("prefix=" + "a" * 700, "Your opening should have at most 600 characters."),
        ("prefix=a%00", "Your opening must not contain NUL."),
        ("prefix=%ff", "Your opening is not valid Unicode."),
        ("prefix=Wren&seed=x", "Seed should be a valid integer"),
    ],
)
def test_errors_are_sentences(client: FlaskClient, query: str, words: str) -> None:
    answer = client.get(f"/story?{query}")
    assert answer.status_code == 400
    page = parse(answer.text)
    assert words in element(page, "#error").text
    assert element(page, "#error")["role"] == "alert"
    assert element(page, "#story").has_attr("hidden")


def test_without_a_model_the_page_says_so(tmp_path: Path) -> None:
    client = create_app({"CHECKPOINT": str(tmp_path / "none")}).test_client()
    assert client.get("/").status_code == 200
    answer = client.get("/story?prefix=Wren")
    assert answer.status_code == 503
    page = parse(answer.text)
    assert element(page, "#error").text
    assert element(page, "textarea").text == "Wren"


def test_pages_are_locked_down_and_ask_no_other_host(client: FlaskClient) -> None:
    for path in ("/", "/story?prefix=Wren&seed=1", "/nowhere"):
        answer = client.get(path, headers={"Accept": "text/html"})
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        page = parse(answer.text)
        for tag in page.select("[src], [href], [action]"):
            address = str(tag.get("src") or tag.get("href") or tag.get("action"))
            assert address.startswith("/")
        assert not page.select("[style], style, [onclick]")


def test_assets_carry_their_version(client: FlaskClient) -> None:
    page = parse(client.get("/").text)
    for address in (element(page, "script")["src"], element(page, "[rel=stylesheet]")["href"]):
        assert "?v=" in str(address)
        answer = client.get(str(address))
        assert answer.status_code == 200
        assert "max-age=31536000" in answer.headers["Cache-Control"]


def test_texts_are_settings(tiny_checkpoint: Path) -> None:
    client = create_app(
        {"CHECKPOINT": str(tiny_checkpoint), "TITLE": "My <blog>", "EXAMPLES": ""}
    ).test_client()
    page = parse(client.get("/").text)
    assert element(page, "h1").text == "My <blog>"
    assert not page.select("#examples")
