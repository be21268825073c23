"""The API, through Flask's test client and a real model."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import create_app
from app.schemas import StoryRequest

ASK = "prefix=Wren&seed=5&length=40"


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    blocks = text.split("\n\n")
    assert blocks.pop() == ""
    found = [re.fullmatch("event: (.*)\ndata: (.*)", block) for block in blocks]
    return [(match[1], json.loads(match[2])) for match in found if match]


def test_every_way_of_asking_gives_the_same_story(client: FlaskClient) -> None:
    answer = client.get(f"/generate?{ASK}")
    assert answer.mimetype == "application/json"
    story = answer.get_json()
    assert list(story) == [
        *("text", "seed", "tokens", "finish_reason", "id", "url", "copied", "attempts"),
        *("prefix", "model"),
    ]
    assert story["text"].startswith("Wren")
    assert (story["seed"], story["prefix"]) == (5, "Wren")
    assert re.fullmatch("[0-9a-f]{16}", story["model"])
    assert story["finish_reason"] in ("stop", "length")
    values = {"prefix": "Wren", "seed": 5, "length": 40}
    assert client.post("/generate", json=values).get_json() == story
    assert client.post("/generate", data=values).get_json() == story
    assert client.get(f"/?{ASK}").get_json() == story


def test_the_ancestors_sample(client: FlaskClient) -> None:
    answer = client.get("/?sample=Wren&seed=5&length=40").get_json()
    story = client.get(f"/?{ASK}").get_json()
    assert answer["sample_text"] == story["text"]
    assert "text" not in answer


def test_jsonp_as_jquery_asks_for_it(client: FlaskClient) -> None:
    answer = client.get("/?sample=Wren&seed=5&length=40&callback=jQuery36_17&_=1700000000")
    assert answer.mimetype == "application/javascript"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    match = re.fullmatch(r"/\*\*/jQuery36_17\((.*)\);", answer.text)
    assert match
    assert json.loads(match[1]) == client.get("/?sample=Wren&seed=5&length=40").get_json()


def test_jsonp_cannot_leave_its_string(client: FlaskClient) -> None:
    query = {"prefix": "</script>\u2028\u2029<!--", "seed": 1, "length": 5, "callback": "a.b"}
    answer = client.get("/", query_string=query)
    assert answer.status_code == 200
    assert not {"<", "\u2028", "\u2029"} & set(answer.text)
    assert json.loads(answer.text[8:-2])["prefix"] == query["prefix"]


@pytest.mark.parametrize(
    "callback",
    ["", "alert(1)", "a b", "a;b", "<script>", "1a", "a..b", "a.", "é", "a\n", "a" * 65, "a[0]"],
)
def test_a_callback_is_a_name(client: FlaskClient, callback: str) -> None:
    for path in ("/", "/generate"):
        answer = client.get(path, query_string={"prefix": "Wren", "callback": callback})
        assert answer.status_code == 400
        assert answer.mimetype == "application/json"
        assert answer.get_json()["error"]["field"] == "callback"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("prefix=a&temperature=nan", "temperature"),
        ("prefix=a&lenght=5", "lenght"),
        ("prefix=a&prefix=b", "prefix"),
        ("sample=a&prefix=b", "sample"),
        ("sample=%00", "sample"),
        ("sample=a&seed=x", "seed"),
        ("prefix=a&callback=f&stream=true", "callback"),
        ("prefix=" + "the+" * 140 + "&nsamples=99", "nsamples"),
        ("prefix=" + "a" * 601, "prefix"),
    ],
)
def test_a_wrong_parameter_is_named(client: FlaskClient, query: str, field: str) -> None:
    answer = client.get(f"/?{query}")
    assert answer.status_code == 400
    error = answer.get_json()["error"]
    assert error["field"] == field
    assert error["message"]


def test_a_wrong_parameter_is_named_before_a_stream_begins(client: FlaskClient) -> None:
    answer = client.get("/generate?stream=true&top_p=2")
    assert answer.status_code == 400
    assert answer.get_json()["error"]["field"] == "top_p"


@pytest.mark.parametrize("query", [ASK, f"{ASK}&nsamples=3", f"{ASK}&include_prefix=false"])
def test_a_stream_is_the_story(client: FlaskClient, query: str) -> None:
    story = client.get(f"/generate?{query}").get_json()
    answer = client.get(f"/generate?{query}&stream=true")
    assert answer.mimetype == "text/event-stream"
    assert answer.headers["X-Accel-Buffering"] == "no"
    *pieces, done = events(answer.text)
    assert done == ("done", story)
    samples = story.get("samples", [story])
    texts = [""] * len(samples)
    for name, piece in pieces:
        assert name == "text"
        texts[piece["index"]] += piece["text"]
    assert texts == [sample["text"] for sample in samples]


def test_a_stream_of_the_ancestors(client: FlaskClient) -> None:
    done = events(client.get("/?sample=Wren&length=5&stream=true").text)[-1]
    assert done[0] == "done"
    assert done[1]["sample_text"].startswith("Wren")


def test_other_kinds_of_bodies(client: FlaskClient) -> None:
    assert client.post("/generate", data=b"x", content_type="text/plain").status_code == 415
    assert client.post("/generate", data={"prefix": (b"", "file")}).status_code == 415
    answer = client.post("/generate", data=b"x" * 300_000, content_type="application/json")
    assert answer.status_code == 413
    assert answer.get_json()["error"]["message"]


def test_failures_speak_json_to_programs_and_html_to_people(client: FlaskClient) -> None:
    for path, method, status in (("/nowhere", "GET", 404), ("/generate", "DELETE", 405)):
        answer = client.open(path, method=method)
        assert answer.status_code == status
        assert answer.get_json()["error"]["message"]
        page = client.open(path, method=method, headers={"Accept": "text/html,*/*;q=0.8"})
        assert page.status_code == status
        assert page.mimetype == "text/html"
        assert "</html>" in page.text
    assert client.delete("/generate").headers["Allow"]


def test_health(client: FlaskClient) -> None:
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.get_json() == {"status": "ok", "running": 0, "waiting": 0}
    ready = client.get("/readyz").get_json()
    assert (ready["status"], ready["error"]) == ("ok", None)
    assert ready["model"] == client.get(f"/?{ASK}").get_json()["model"]


def test_without_a_model(tmp_path: Path, tiny_checkpoint: Path) -> None:
    folder = tmp_path / "run1"
    client = create_app({"CHECKPOINT": str(folder)}).test_client()
    assert client.get("/healthz").status_code == 200
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert str(folder) in ready.get_json()["error"]
    for query in (ASK, f"{ASK}&stream=true"):
        answer = client.get(f"/generate?{query}")
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        assert str(folder) not in answer.text
    shutil.copytree(tiny_checkpoint, folder)
    assert client.get("/readyz").status_code == 200


def test_a_bug_shows_no_stack_trace(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    client = create_app({"CHECKPOINT": str(tiny_checkpoint)}).test_client()
    monkeypatch.setattr("app.api.Stories.write", fail)
    answer = client.get(f"/?{ASK}")
    assert answer.status_code == 500
    assert answer.get_json()["error"]["message"]
    assert "secret" not in answer.text
    monkeypatch.setattr("app.api.Stories.events", fail)
    answer = client.get(f"/?{ASK}&stream=true")
    assert [name for name, _ in events(answer.text)] == ["error"]
    assert "secret" not in answer.text


QUERY = st.dictionaries(
    st.sampled_from(["sample", "callback", "_", *StoryRequest.model_fields]),
    st.text(max_size=10) | st.integers().map(str) | st.floats().map(str),
    max_size=5,
)


@settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.sampled_from(["/", "/generate", "/story"]), QUERY)
def test_nothing_that_is_asked_is_a_server_error(
    client: FlaskClient, path: str, query: dict[str, str]
) -> None:
    assert client.get(path, query_string=query).status_code in (200, 303, 400)
    assert client.post("/generate", data=query).status_code in (200, 400, 415)


def test_head_writes_nothing(service_app: Flask, client: FlaskClient) -> None:
    for path in ("/generate", "/?prefix=Wren", "/story?prefix=Wren", "/generate?stream=true"):
        computed = service_app.extensions["service"].current_model.get().model.stats().computed
        answer = client.head(path)
        assert (answer.status_code, answer.data) == (200, b"")
        assert service_app.extensions["service"].current_model.get().model.stats().computed == (
            computed
        )
    assert client.head("/generate?length=0").status_code == 400


def test_gpt_2_cloud_runs_contract(client: FlaskClient) -> None:
    """Its page sends strings, its programs numbers; a GET without parameters is a request too."""
    story = client.get(f"/?{ASK}").get_json()
    strings = {"prefix": "Wren", "seed": "5", "length": "40", "include_prefix": "True"}
    typed = {"prefix": "Wren", "seed": 5, "length": 40, "include_prefix": True}
    for values in (strings, typed):
        assert client.post("/", json=values).get_json() == story
    assert client.post("/", data=strings).get_json() == story
    answer = client.get("/", headers={"Accept": "application/json"})
    assert answer.get_json()["text"]
    assert client.post("/", json={"length": "many"}).get_json()["error"]["field"] == "length"


def test_a_story_ends_before_any_of_its_stops(client: FlaskClient) -> None:
    values = {"prefix": "Wren", "seed": 5, "length": 60, "end": "token", "include_prefix": False}
    text = client.post("/generate", json=values).get_json()["text"]
    first, second = text[10], text[20]
    for asked in (
        client.post("/generate", json={**values, "stop": [second, first]}),
        client.get("/generate", query_string={**values, "stop": [second, first]}),
    ):
        answer = asked.get_json()
        assert answer["text"] == text[: min(text.index(first), text.index(second))]
        assert answer["finish_reason"] == "stop"


def test_a_stored_story_tells_how_to_write_it_again(client: FlaskClient) -> None:
    told = client.get(f"/generate?{ASK}&nsamples=2&top_p=0.9&stop=zz").get_json()
    for sample in told["samples"]:
        stored = client.get(f"/stories/{sample['id']}").get_json()
        assert (stored["url"], stored["is_served"]) == (sample["url"], True)
        values = {**stored["parameters"], "prefix": stored["prefix"], "seed": stored["seed"]}
        again = client.post("/generate", json=values).get_json()
        assert again["text"] == stored["prefix"] + stored["text"] == sample["text"]
        assert (again["id"], again["model"]) == (sample["id"], stored["model"])
    for id in ("000000000000", "x", "..", "é" * 12):
        answer = client.get(f"/stories/{id}")
        assert answer.status_code == 404
        assert answer.get_json()["error"]["message"]


def test_continuations_are_a_family(client: FlaskClient) -> None:
    root = client.get("/generate?prefix=Wren&length=20").get_json()
    values = {"prefix": root["text"], "length": 20, "parent": root["id"], "nsamples": 2}
    children = client.post("/generate", json=values).get_json()["samples"]
    family = client.get(f"/stories/{children[0]['id']}").get_json()["family"]
    assert {one["id"]: one["parent"] for one in family} == {
        root["id"]: None,
        **{child["id"]: root["id"] for child in children},
    }


def test_a_client_likes_a_story_once(client: FlaskClient) -> None:
    id = client.get("/generate?prefix=Wren&length=5").get_json()["id"]
    for address, likes in (("203.0.113.1", 1), ("203.0.113.1", 1), ("203.0.113.2", 2)):
        answer = client.post(f"/stories/{id}/like", environ_base={"REMOTE_ADDR": address})
        assert answer.get_json() == {"likes": likes}
    assert client.get(f"/stories/{id}").get_json()["likes"] == 2
    assert client.post("/stories/000000000000/like").status_code == 404


@pytest.mark.parametrize("stream", [False, True])
def test_picks_of_a_client_are_known_to_be_of_one(
    service_app: Flask, client: FlaskClient, stream: bool
) -> None:
    """Its likes and continuations, and no other's; its address is nowhere."""

    def ask(address: str, **values: object) -> str:
        answer = client.post("/generate", json=values, environ_base={"REMOTE_ADDR": address})
        return answer.text

    one, other = "203.0.113.1", "203.0.113.2"
    first, second = (json.loads(ask(one, prefix=f"Odo {stream} {n}", length=9)) for n in range(2))
    ask(one, prefix=first["text"], parent=first["id"], length=5, nsamples=2, stream=stream)
    ask(other, prefix=first["text"], parent=first["id"], length=5, stream=stream)
    client.post(f"/stories/{second['id']}/like", environ_base={"REMOTE_ADDR": one})
    library = service_app.extensions["service"].library
    voters = {pick.id: pick.voters for pick in library.picked()}
    (mine,) = voters[second["id"]]
    (another,) = voters[first["id"]] - {mine}
    assert len(voters[first["id"]]) == 2
    assert not {one, other} & {mine, another}
    assert mine not in client.get(f"/stories/{first['id']}").text


def test_who_finds_no_place_is_told_when_to_come_back(tiny_checkpoint: Path) -> None:
    app = create_app({"CHECKPOINT": str(tiny_checkpoint), "MAX_BATCH": 1, "MAX_WAIT": 0.2})
    client = app.test_client()
    place = app.extensions["service"].queue.enter(1, 1000)
    for path in ("/generate", "/?sample=a&callback=f", "/generate?stream=true"):
        answer = client.get(path)
        assert answer.status_code == 429
        seconds = int(answer.headers["Retry-After"])
        assert answer.get_json()["error"]["retry_after"] == seconds >= 1
    place.leave()
    place = app.extensions["service"].queue.enter(1, 1)  # soon over, so it seems
    assert client.get("/generate").status_code == 429
    (name, data) = events(client.get("/generate?stream=true&length=5").text)[-1]
    assert (name, data["error"]["retry_after"] >= 1) == ("error", True)
    place.leave()
    assert client.get("/generate?length=5").status_code == 200


def test_a_model_that_is_gone(
    tiny_checkpoint: Path, other_checkpoint: Path, tmp_path: Path
) -> None:
    stories = {"DATABASE_URL": f"sqlite:///{tmp_path}/stories.db"}
    client = create_app({"CHECKPOINT": str(tiny_checkpoint), **stories}).test_client()
    id = client.get(f"/generate?{ASK}").get_json()["id"]
    later = create_app({"CHECKPOINT": str(other_checkpoint), **stories}).test_client()
    assert later.get(f"/stories/{id}").get_json() == {
        **client.get(f"/stories/{id}").get_json(),
        "is_served": False,
    }
    assert "no longer served" in later.get(f"/s/{id}").text


def test_without_a_database_reading_is_for_later(tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    url = f"sqlite:///{tmp_path}/file/stories.db"
    client = create_app({"CHECKPOINT": str(tiny_checkpoint), "DATABASE_URL": url}).test_client()
    answer = client.get("/stories/000000000000")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    page = client.get("/s/000000000000", headers={"Accept": "text/html"})
    assert (page.status_code, page.mimetype) == (503, "text/html")
    assert client.get(f"/generate?{ASK}").get_json()["id"] is None
