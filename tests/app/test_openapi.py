"""The OpenAPI document: that it is one, that it is whole, and that what it says is so. Whether the
service does what it says is tested by test_schemathesis.py."""

import json
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from bs4 import BeautifulSoup
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import expect
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from app import create_app

from .conftest import Visit

KEY = "a-key-of-16-letters"


def routes(app: Flask) -> set[tuple[str, str]]:
    return {
        (method.lower(), re.sub("<(?:[^:>]+:)?([^>]+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


@pytest.fixture(scope="module")
def guarded(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """An app with keys."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"alice {KEY}\n")
    settings = {"API_KEYS": str(keys), "REQUIRE_KEY": "true", "ADMIN_KEY": KEY}
    return create_app({"CHECKPOINT": str(tiny_checkpoint), "MAX_PREFIX": 30, **settings})


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    answer = client.get("/openapi.json")
    assert answer.mimetype == "application/json"
    found: dict[str, Any] = answer.get_json()
    return found


def test_it_is_an_openapi_document(document: dict[str, Any], guarded: Flask) -> None:
    for one in (document, guarded.test_client().get("/openapi.json").get_json()):
        assert one["openapi"] == "3.1.0"
        assert [str(error) for error in OPENAPI_31_VALIDATOR.iter_errors(one)] == []
        for schema in one["components"]["schemas"].values():
            jsonschema_rs.meta.validate(schema)


def test_what_it_refers_to_is_there(document: dict[str, Any]) -> None:
    for reference in set(re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(document))):
        found = document
        for step in reference.split("/"):
            found = found[step]
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'"operationId": ?"([^"]+)"', json.dumps(document))) == set(ids)
    tags = {tag["name"] for tag in document["tags"]}
    assert {tag for _, _, operation in operations(document) for tag in operation["tags"]} == tags


def test_each_view_has_its_entry(service_app: Flask, guarded: Flask) -> None:
    for app in (service_app, guarded):
        document = app.test_client().get("/openapi.json").get_json()
        assert {(method, path) for method, path, _ in operations(document)} == routes(app)
        for _, _, operation in operations(document):
            assert operation["summary"]
    assert ("get", "/metrics") in routes(guarded) - routes(service_app)


def test_bounds_are_this_servers(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    story = schemas["StoryRequest"]["properties"]
    assert story["prefix"]["maxLength"] == 600
    assert (story["length"]["minimum"], story["length"]["maximum"]) == (1, 1023)
    assert story["seed"]["anyOf"][0] == {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
    completion = schemas["CompletionRequest"]["properties"]
    assert completion["n"]["maximum"] == story["nsamples"]["maximum"]
    assert completion["max_tokens"]["anyOf"][0]["maximum"] == 1023
    text, several, _ = completion["prompt"]["anyOf"]
    assert text["maxLength"] == several["items"]["maxLength"] == 600
    (length,) = (
        parameter["schema"]
        for parameter in document["paths"]["/generate"]["get"]["parameters"]
        if parameter["name"] == "length"
    )
    assert length == story["length"]


def test_examples_are_valid_and_work(service_app: Flask, guarded: Flask) -> None:
    for app in (service_app, guarded):
        client = app.test_client()
        document = client.get("/openapi.json").get_json()
        known = client.post("/generate", json={}, headers={"X-API-Key": KEY}).get_json()["id"]
        for method, path, operation in operations(document):
            (sample,) = operation["x-codeSamples"]
            _, *words = shlex.split(sample["source"].replace("$URL", ""))
            options = dict(pairwise(words))
            given = [words[i + 1] for i, word in enumerate(words) if word == "--data-urlencode"]
            form = None if "--json" in options else dict(word.split("=", 1) for word in given)
            assert words[-1].startswith(path.partition("{")[0])
            answer = client.open(
                words[-1].replace("0123456789ab", known),
                method=method,
                **({"json": json.loads(options["--json"])} if "--json" in options else {}),
                **{"query_string" if method == "get" else "data": form},
                headers={"X-API-Key": KEY},
            )
            assert answer.status_code in (200, 303), (sample, answer.text)


def test_keys(document: dict[str, Any], guarded: Flask) -> None:
    def security(document: dict[str, Any]) -> dict[tuple[str, str], Any]:
        return {
            (method, path): operation.get("security", [{}])
            for method, path, operation in operations(document)
        }

    assert all(ways == [{}] for ways in security(document).values())
    needed = security(guarded.test_client().get("/openapi.json").get_json())
    ways = [{"bearer": []}, {"key": []}]
    assert needed["get", "/generate"] == needed["get", "/metrics"] == ways
    assert needed["get", "/"] == [*ways, {}]
    assert needed["get", "/stories/{id}"] == [{}]


def test_it_is_asked_for_again_only_if_it_has_changed(client: FlaskClient) -> None:
    for path in ("/openapi.json", "/docs"):
        answer = client.get(path)
        again = client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")


def test_the_page_tells_all_of_it(client: FlaskClient, document: dict[str, Any]) -> None:
    page = BeautifulSoup(client.get("/docs").text, "lxml")
    ids = [element["id"] for element in page.select("[id]")]
    assert len(set(ids)) == len(ids)
    for _, path, operation in operations(document):
        heading = page.find(id=operation["operationId"])
        assert heading
        assert path in heading.text
        section = heading.parent
        assert section
        for parameter in operation.get("parameters", []):
            assert parameter["name"] in [name.text for name in section.select("dt code")]
        for status in operation["responses"]:
            assert status in [name.text for name in section.select("dt code")]
    for name, schema in document["components"]["schemas"].items():
        section = page.find(id=name).parent  # type: ignore[union-attr]
        assert [one.text for one in section.select("dt code")] == [*schema["properties"]]
    for link in page.select("a[href^='#']"):
        assert str(link["href"])[1:] in ids
    assert "curl" in page.text
    assert "$URL" not in page.text


def test_the_page_in_a_browser(visit: Visit, site: str) -> None:
    page = visit()
    page.goto("/")
    page.get_by_role("link", name="API").click()
    expect(page.get_by_role("heading", name="The API", exact=True)).to_be_visible()
    assert f"{site}/generate" in (page.locator("pre").first.text_content() or "")
    page.locator("summary", has_text="Parameters").first.click()
    expect(page.locator("details dt", has_text="repetition_penalty").first).to_be_visible()
