"""OpenAI's API: through Flask's client, and through OpenAI's own against a real uWSGI."""

import json
from pathlib import Path

import openai
import pytest
import requests

from app import create_app

from .conftest import Server, StartUwsgi


@pytest.fixture(scope="module")
def server(start_uwsgi: StartUwsgi, tiny_checkpoint: Path) -> Server:
    return start_uwsgi(tiny_checkpoint)


@pytest.fixture(scope="module")
def client_of_openai(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def ours(server: Server, **parameters: object) -> dict[str, object]:
    answer = requests.post(f"{server.url}/generate", json=parameters, timeout=60)
    assert answer.status_code == 200, answer.text
    story: dict[str, object] = answer.json()
    return story


def test_models(client_of_openai: openai.OpenAI, tiny_checkpoint: Path) -> None:
    (model,) = client_of_openai.models.list().data
    assert model.id == tiny_checkpoint.name
    assert client_of_openai.models.retrieve(model.id) == model
    with pytest.raises(openai.NotFoundError):
        client_of_openai.models.retrieve("gpt-7")


def test_a_completion_is_our_story(client_of_openai: openai.OpenAI, server: Server) -> None:
    answer = client_of_openai.completions.create(
        model="run1", prompt="Wren", seed=5, max_tokens=40, n=2, stop=["zzz"], temperature=0.9
    )
    story = ours(
        server,
        prefix="Wren",
        seed=5,
        length=40,
        nsamples=2,
        stop=["zzz"],
        temperature=0.9,
        top_k=0,
        top_p=1.0,
        end="token",
        include_prefix=False,
    )
    samples = story["samples"]
    assert isinstance(samples, list)
    assert [choice.text for choice in answer.choices] == [sample["text"] for sample in samples]
    assert [choice.finish_reason for choice in answer.choices] == [
        sample["finish_reason"] for sample in samples
    ]
    assert answer.usage
    assert answer.usage.completion_tokens == sum(sample["tokens"] for sample in samples)
    assert answer.usage.prompt_tokens > 0
    assert answer.object == "text_completion"
    told = answer.model_extra and answer.model_extra["samples"]
    assert [sample["url"] for sample in told or []] == [sample["url"] for sample in samples]


def test_a_stream_joins_to_the_completion(client_of_openai: openai.OpenAI) -> None:
    values = {"model": "run1", "prompt": "Wren", "seed": 7, "max_tokens": 60, "n": 2, "echo": True}
    whole = client_of_openai.completions.create(**values)
    texts, reasons, usage = ["", ""], ["", ""], None
    for chunk in client_of_openai.completions.create(
        **values, stream=True, stream_options={"include_usage": True}
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            reasons[choice.index] = choice.finish_reason or reasons[choice.index]
    assert texts == [choice.text for choice in whole.choices]
    assert all(text.startswith("Wren") for text in texts)
    assert reasons == [choice.finish_reason for choice in whole.choices]
    assert usage == whole.usage


def test_our_own_parameters_go_along(client_of_openai: openai.OpenAI, server: Server) -> None:
    answer = client_of_openai.completions.create(
        model="run1",
        prompt=["Wren"],
        seed=-1,
        max_tokens=80,
        extra_body={"top_k": 5, "repetition_penalty": 1.3, "end": "sentence"},
    )
    story = ours(
        server,
        prefix="Wren",
        seed=2**32 - 1,
        length=80,
        temperature=1,
        top_k=5,
        top_p=1,
        repetition_penalty=1.3,
        include_prefix=False,
    )
    assert answer.choices[0].text == story["text"]


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"prompt": "a" * 20_000}, "prompt"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5000}, "max_tokens"),
        ({"n": 99}, "n"),
        ({"prompt": "a\0"}, "prompt"),
        ({"stop": ["a\0"]}, "stop"),
        ({"temperature": 3}, "temperature"),
        ({"logprobs": 3}, "logprobs"),
        ({"stream": True, "extra_body": {"resample": 2}}, "resample"),
        ({"extra_body": {"banana": 1}}, "banana"),
    ],
)
def test_errors_are_openais(
    client_of_openai: openai.OpenAI, values: dict[str, object], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client_of_openai.completions.create(**{"model": "run1", "prompt": "Wren", **values})
    assert error.value.param == param
    assert error.value.type == "invalid_request_error"
    with pytest.raises(openai.NotFoundError) as unknown:
        client_of_openai.completions.create(model="gpt-7", prompt="Wren")
    assert unknown.value.code == "model_not_found"


def test_other_failures(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = create_app({"CHECKPOINT": str(tiny_checkpoint)}).test_client()
    assert client.post("/v1/completions", data={"model": "run1"}).status_code == 415
    answer = client.post("/v1/completions", data=b"x", content_type="text/plain")
    assert answer.status_code == 415
    assert answer.get_json()["error"]["type"] == "invalid_request_error"

    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("app.completions.Stories.events", fail)
    values = {"model": "run1", "prompt": "Wren"}
    answer = client.post("/v1/completions", json=values)
    assert (answer.status_code, answer.get_json()["error"]["type"]) == (500, "server_error")
    assert "secret" not in answer.text
    answer = client.post("/v1/completions", json={**values, "stream": True})
    assert json.loads(answer.text.removeprefix("data: "))["error"]["type"] == "server_error"
    assert "secret" not in answer.text
