"""The pages, as they are without JavaScript."""

import json
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from bs4 import BeautifulSoup, Tag
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.library import Library, Relative, StoredStory
from app.pages import Branch, excerpt, tree
from app.service import Service

MARKUP = "<script>alert(1)</script>\"'<b>&amp;{{ 7 * 7 }}"


def parse(page: str) -> BeautifulSoup:
    return BeautifulSoup(page, "lxml")


def element(page: BeautifulSoup, selector: str) -> Tag:
    found = page.select_one(selector)
    assert found is not None, selector
    return found


def written(client: FlaskClient, address: str) -> str:
    """The address of the page that a story's address leads to."""
    answer = client.get(address)
    assert answer.status_code == 303
    path: str = urlsplit(answer.headers["Location"]).path
    assert path.startswith("/s/")
    return path


def stored(client: FlaskClient, path: str) -> StoredStory:
    story = library(client.application).get(path.removeprefix("/s/"))
    assert story is not None
    return story


def library(app: Flask) -> Library:
    service: Service = app.extensions["service"]
    return service.library


def keep(app: Flask, id: str, **fields: object) -> str:
    """Stores a story with these fields; returns the address of its page."""
    values: dict[str, object] = {
        "created": datetime(2026, 11, 21, tzinfo=UTC),
        "model": "0123456789abcdef",
        "prefix": "Wren",
        "text": " runs.",
        "seed": 1,
        "tokens": 2,
        "finish_reason": "stop",
        "attempts": 1,
        "copied": None,
        "parameters": {"length": 5, "temperature": 0.7},
        **fields,
    }
    library(app).save([StoredStory(id=id, **values)])  # type: ignore[arg-type]
    return f"/s/{id}"


def test_the_form(client: FlaskClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    page = parse(answer.text)
    form = element(page, "form")
    assert (form["action"], form["method"]) == ("/story", "post")
    assert element(page, f"label[for={element(form, 'textarea')['id']}]").text
    assert len(page.select("#examples a")) == 3
    moods = {radio["name"] for radio in page.select("fieldset [type=radio][checked]")}
    assert moods == {"temperature", "length"}


def test_every_mood_can_be_asked_for(tiny_checkpoint: Path) -> None:
    client = create_app({"CHECKPOINT": str(tiny_checkpoint), "MAX_LENGTH": 50}).test_client()
    for radio in parse(client.get("/").text).select("[type=radio]"):
        path = written(client, f"/story?prefix=Wren&{radio['name']}={radio['value']}")
        assert str(stored(client, path).parameters[str(radio["name"])]) == radio["value"]


def test_names_that_shared_links_collect_do_not_ask_for_json(client: FlaskClient) -> None:
    assert client.get("/?fbclid=abc&utm_source=x").mimetype == "text/html"
    assert client.get("/story?prefix=Wren&fbclid=abc").status_code == 303


def test_a_story_is_written_and_has_a_page(client: FlaskClient) -> None:
    path = written(client, "/story?prefix=+Wren+and+&seed=5&length=40&end=token")
    answer = client.get(path)
    assert answer.status_code == 200
    page = parse(answer.text)
    story = client.get("/generate?prefix=Wren+and&seed=5&length=40&end=token").get_json()
    assert element(page, ".opening").text == "Wren and"
    assert element(page, ".text").text.replace("\n", "") == story["text"].replace("\n", "")
    facts = " ".join(fact.text for fact in page.select(".facts"))
    assert story["model"] in facts
    assert f"seed 5 · {story['tokens']} tokens" in facts


def test_a_form_and_an_address_lead_to_the_same_page(client: FlaskClient) -> None:
    values = {"prefix": " Wren\r\nand ", "seed": "5", "length": "30", "fbclid": "abc"}
    answer = client.post("/story", data=values)
    assert answer.status_code == 303
    read = client.get("/story", query_string=values)
    assert answer.headers["Location"] == read.headers["Location"]
    assert stored(client, answer.headers["Location"]).prefix == "Wren\nand"
    assert client.post("/story", json=values).status_code == 415


def test_an_address_with_a_seed_leads_to_the_same_page_again(client: FlaskClient) -> None:
    address = "/story?prefix=Wren&length=30"
    assert written(client, f"{address}&seed=1") == written(client, f"{address}&seed=1")
    assert written(client, f"{address}&seed=1") != written(client, f"{address}&seed=2")


def test_what_only_looks_writes_nothing(client: FlaskClient) -> None:
    path = written(client, "/story?prefix=Wren&seed=1&length=30")
    answer = client.head("/story?prefix=Wren&seed=1&length=30")
    assert (answer.status_code, answer.headers.get("Location")) == (200, None)
    assert client.head(path).status_code == 200


def test_a_story_is_gone_on_with(client: FlaskClient) -> None:
    path = written(client, "/story?prefix=Wren&seed=6&length=20")
    begun = parse(client.get(path).text)
    onwards = str(begun.find("a", string="Continue this story")["href"])  # type: ignore[index]
    form = element(parse(client.get(onwards).text), "form")
    story = stored(client, path)
    assert element(form, "textarea").text == story.prefix + story.text
    parent = str(element(form, "[name=parent]")["value"])
    query = {"prefix": element(form, "textarea").text, "parent": parent, "length": 20, "seed": 1}
    answer = client.post("/story", data=query)
    page = parse(client.get(answer.headers["Location"]).text)
    assert [str(link["href"]) for link in page.select(".tree a")] == [
        path,
        answer.headers["Location"],
    ]
    assert element(page, ".tree [aria-current]")["href"] == answer.headers["Location"]


@pytest.mark.parametrize("most", [600, 601, 603])
def test_a_long_story_is_gone_on_with_from_its_end(
    tiny_checkpoint: Path, service_app: Flask, most: int
) -> None:
    app = create_app({"CHECKPOINT": str(tiny_checkpoint), "MAX_PREFIX": most})
    words = [f"word{i:04}" for i in range(100)]  # and a blank: 9 characters each
    keep(service_app, id := f"long00000{most}", prefix=" ".join(words[:40]), text=f" {words[40]}")
    keep(service_app, longer := f"more00000{most}", prefix=" ".join(words), text=" Odo\nwaits.")
    short, long = (parse(app.test_client().get(f"/?continue={x}").text) for x in (id, longer))
    assert element(short, "textarea").text == " ".join(words[:41])
    assert element(short, "#long").has_attr("hidden")
    assert not element(long, "#long").has_attr("hidden")
    end = element(long, "textarea").text
    assert " ".join(words).endswith(end.removesuffix(" Odo\nwaits."))
    assert end.startswith("word")
    assert most - 9 < len(end) <= most
    answer = app.test_client().post("/story", data={"prefix": end, "parent": longer, "length": 5})
    assert answer.status_code == 303


def test_another_version_has_the_same_parameters_and_another_seed(client: FlaskClient) -> None:
    path = written(client, "/story?prefix=Wren&length=20&temperature=0.9&seed=7&stop=zzz")
    answer = client.post(f"{path}/another")
    assert answer.status_code == 303
    one, other = stored(client, path), stored(client, answer.headers["Location"])
    assert (other.prefix, other.parameters, other.parent) == (one.prefix, one.parameters, one.id)
    assert other.seed != one.seed


def test_a_like_counts_once_for_each_client(client: FlaskClient) -> None:
    path = written(client, "/story?prefix=Liked&length=5")
    for address in ("203.0.113.1", "203.0.113.1", "203.0.113.2"):
        answer = client.post(f"{path}/like", environ_base={"REMOTE_ADDR": address})
        assert (answer.status_code, answer.headers["Location"]) == (303, path)
    assert element(parse(client.get(path).text), "#likes").text == "2"


def test_unknown_stories(client: FlaskClient) -> None:
    page = {"Accept": "text/html"}
    for path in (
        "/s/000000000000",
        "/s/x",
        "/s/000000000000.png",
        "/?continue=000000000000",
        "/?continue=",
    ):
        answer = client.get(path, headers=page)
        assert (answer.status_code, answer.mimetype) == (404, "text/html")
    for path in ("/s/000000000000/like", "/s/000000000000/another"):
        assert client.post(path, headers=page).status_code == 404


def test_the_page_says_where_a_text_comes_from(service_app: Flask, client: FlaskClient) -> None:
    def facts(path: str) -> str:
        return " ".join(fact.text for fact in parse(client.get(path).text).select(".facts"))

    assert "copied" not in facts(keep(service_app, "copied000000", copied=None))
    assert "0 sentences copied" in facts(keep(service_app, "copied000001", copied=[]))
    runs = [{"text": "a b", "words": 12, "source": f"The {MARKUP}"}]
    assert f"12 words from “The {MARKUP}”" in facts(keep(service_app, "copied000002", copied=runs))


def test_the_page_says_that_its_model_is_gone(service_app: Flask, client: FlaskClient) -> None:
    path = keep(service_app, "gone00000000", model="fedcba9876543210")
    assert "no longer served" in client.get(path).text
    path = written(client, "/story?prefix=Wren&length=5&seed=1")
    assert "no longer served" not in client.get(path).text


def test_what_a_shared_link_shows(service_app: Flask, client: FlaskClient) -> None:
    path = keep(service_app, "shared000000", prefix="Wren & Odo", text=" wait.\n\nIt rains. " * 20)
    page = parse(client.get(path).text)
    shown = {
        str(meta.get("property") or meta.get("name")): str(meta["content"])
        for meta in page.select("meta[content]")
    }
    assert shown["og:title"] == shown["twitter:title"]
    assert shown["og:title"].startswith("Wren & Odo wait. It rains.")
    assert len(shown["og:title"]) < 80
    assert shown["og:description"] == shown["description"] == shown["twitter:description"]
    assert 100 < len(shown["og:description"]) < 210
    assert shown["og:image"] == shown["twitter:image"] == f"http://localhost{path}.png"
    assert shown["twitter:card"] == "summary_large_image"
    assert shown["robots"] == "noindex"
    assert element(page, "[rel=canonical]")["href"] == f"http://localhost{path}"
    assert str(element(page, "title").text).startswith(shown["og:title"])
    picture = client.get(f"{path}.png")
    assert picture.mimetype == "image/png"


def test_pages_of_stories_are_kept_until_they_change(client: FlaskClient) -> None:
    path = written(client, "/story?prefix=Kept&length=5&seed=1")
    for address in (path, f"{path}.png"):
        answer = client.get(address)
        assert answer.headers["Cache-Control"] == "no-cache"
        known = {"If-None-Match": answer.headers["ETag"]}
        assert client.get(address, headers=known).status_code == 304
    known = {"If-None-Match": client.get(path).headers["ETag"]}
    client.post(f"{path}/like")
    assert client.get(path, headers=known).status_code == 200


def test_programs_get_the_story_as_json(client: FlaskClient) -> None:
    path = written(client, "/story?prefix=Wren&length=5&seed=1")
    for accept, kind in (("application/json", "application/json"), ("*/*", "text/html")):
        answer = client.get(path, headers={"Accept": accept})
        assert (answer.mimetype, answer.headers["Vary"]) == (kind, "Accept")
    story = client.get(path, headers={"Accept": "application/json"}).get_json()
    assert story == client.get(path.replace("/s/", "/stories/")).get_json()


def test_markup_is_text(service_app: Flask, client: FlaskClient) -> None:
    id = "markup000000"
    keep(service_app, id, prefix=MARKUP, text=MARKUP)
    keep(service_app, "markup000001", prefix=MARKUP * 2, text=MARKUP, parent=id)
    error = client.get("/story", query_string={"prefix": MARKUP, "seed": "x"}).text
    assert element(parse(error), "textarea").text == MARKUP
    onwards = client.get(f"/?continue={id}").text
    assert element(parse(onwards), "textarea").text == MARKUP * 2
    page = client.get(f"/s/{id}").text
    assert element(parse(page), ".text").text == MARKUP * 2
    links = parse(page).select(".tree a")
    assert [link.text[:40] for link in links] == [MARKUP[:40]] * 2
    assert element(parse(page), "[property='og:title']")["content"].startswith(MARKUP[:40])  # type: ignore[union-attr]
    for text in (error, onwards, page):
        assert MARKUP not in text
        assert str(escape(MARKUP[:8])) in text
        assert all(script["src"] and not script.text for script in parse(text).select("script"))
    assert json.loads(client.get(f"/stories/{id}").text)["text"] == MARKUP


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("prefix=" + "a" * 700, "Your opening should have at most 600 characters."),
        ("prefix=a%00", "Your opening must not contain NUL."),
        ("prefix=%ff", "Your opening is not valid Unicode."),
        ("prefix=Wren&seed=x", "Seed should be a valid integer"),
        ("prefix=Wren&parent=x", "Parent should match pattern"),
    ],
)
def test_errors_are_sentences(client: FlaskClient, query: str, words: str) -> None:
    form = "application/x-www-form-urlencoded"
    for answer in (
        client.get(f"/story?{query}"),
        client.post("/story", data=query, content_type=form),
    ):
        assert answer.status_code == 400
        page = parse(answer.text)
        assert words in element(page, "#error").text
        assert element(page, "#error")["role"] == "alert"
        assert element(page, "textarea").text  # what was typed is not lost


def test_without_a_model_the_page_says_so(tmp_path: Path, service_app: Flask) -> None:
    client = create_app({"CHECKPOINT": str(tmp_path / "none")}).test_client()
    assert client.get("/").status_code == 200
    answer = client.get("/story?prefix=Wren")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    page = parse(answer.text)
    assert element(page, "#error").text
    assert element(page, "textarea").text == "Wren"
    assert client.get(keep(service_app, "nomodel00000")).status_code == 200


def test_a_story_that_cannot_be_kept_is_shown_all_the_same(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/stories.db"
    app = create_app({"CHECKPOINT": str(tiny_checkpoint), "DATABASE_URL": url})
    library(app).migrate()
    for file in tmp_path.iterdir():
        file.write_bytes(b"no database" * 1000)
    answer = app.test_client().get("/story?prefix=Wren&seed=1&length=30")
    page = parse(answer.text)
    assert "could not be kept" in element(page, "#error").text
    assert element(page, "textarea").text.startswith("Wren")
    assert len(element(page, "textarea").text) > len("Wren")


def test_pages_are_locked_down_and_ask_no_other_host(client: FlaskClient) -> None:
    story = written(client, "/story?prefix=Wren&seed=1")
    for path in ("/", story, "/story?seed=x", "/nowhere"):
        answer = client.get(path, headers={"Accept": "text/html"})
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        page = parse(answer.text)
        for tag in page.select("[src], a[href], link:not([rel=canonical]), [action]"):
            address = str(tag.get("src") or tag.get("href") or tag.get("action"))
            assert address.startswith("/")
        assert not page.select("[style], style, [onclick]")


def test_assets_carry_their_version_and_all_together_are_light(client: FlaskClient) -> None:
    text = client.get("/").text
    assets = {
        str(tag.get("src") or tag.get("href"))
        for tag in parse(text).select("script, img, link[href]")
    }
    assert len(assets) >= 5
    size = len(text.encode())
    for address in assets:
        assert "?v=" in address
        answer = client.get(address)
        assert answer.status_code == 200
        assert "max-age=31536000" in answer.headers["Cache-Control"]
        size += len(answer.data)
    assert size < 100_000


def test_texts_are_settings(tiny_checkpoint: Path) -> None:
    client = create_app(
        {"CHECKPOINT": str(tiny_checkpoint), "TITLE": "My <blog>", "EXAMPLES": ""}
    ).test_client()
    page = parse(client.get("/").text)
    assert element(page, "h1").text == "My <blog>"
    assert not page.select("#examples")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" Wren\n\n runs ", "Wren runs"),
        ("Wren runs home", "Wren runs home"),
        ("Wren runs. Home again", "Wren runs…"),
        ("W" * 20, "W" * 13 + "…"),
    ],
)
def test_excerpt(text: str, expected: str) -> None:
    assert excerpt(text, 14) == expected


def relative(id: str, parent: str | None) -> Relative:
    return Relative(id, parent, id, 0, datetime(2026, 11, 21, tzinfo=UTC))


def test_only_forks_make_a_tree_deeper() -> None:
    a, b, c, d, e = (relative(*pair) for pair in [("a", None), *zip("bcde", "abbd", strict=True)])
    assert tree([]) is None
    assert tree([a]) is None
    assert tree([a, b]) == Branch([a, b], [])
    assert tree([a, b, c, d, e]) == Branch([a, b], [Branch([c], []), Branch([d, e], [])])


def test_the_deepest_tree_is_shown(service_app: Flask, client: FlaskClient) -> None:
    parent = None
    for i in range(100):
        for fork in "ab":
            keep(service_app, f"deep0000{fork}{i:03}", seed=i, parent=parent)
        parent = f"deep0000a{i:03}"
    page = parse(client.get("/s/deep0000a050").text)
    assert len(page.select(".tree a")) > 100
