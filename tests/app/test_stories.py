"""Stories from a real, if tiny, model."""

import unicodedata
from pathlib import Path

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.schemas import StoryRequest
from app.service import Service
from app.stories import Abandoned, Reset, Stories, Text, Waiting
from app.visitor import Visitor
from engine import END_OF_TEXT, Sampling

NOBODY = Visitor(None)  # never leaves


@pytest.fixture(scope="module")
def service(service_app: Flask) -> Service:
    found: Service = service_app.extensions["service"]
    return found


def begin(service: Service, visitor: Visitor = NOBODY, **values: object) -> Stories:
    return Stories(StoryRequest.model_validate(values), service, visitor)


def write(service: Service, **values: object) -> dict[str, object]:
    return begin(service, **values).write().model_dump()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {
            "prefix": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
            "length": st.integers(1, 60),
            "seed": st.integers(0, 2**32 - 1),
            "temperature": st.sampled_from([0.0, 0.7, 2.0]),
            "end": st.sampled_from(["sentence", "word", "token"]),
            "truncate": st.sampled_from(["", " ", "the"]),
            "include_prefix": st.booleans(),
            "nsamples": st.integers(1, 3),
        }
    ).filter(lambda values: END_OF_TEXT not in str(values["prefix"]))
)
def test_pieces_join_to_the_whole_and_replay(service: Service, values: dict[str, object]) -> None:
    whole = write(service, **values)
    stories = begin(service, **values)
    texts = [""] * int(str(values["nsamples"]))
    for event in stories.events():
        assert isinstance(event, Text)
        assert event.text.encode()
        texts[event.index] += event.text
    assert stories.response().model_dump() == whole
    samples = whole["samples"] or [whole]
    assert isinstance(samples, list)
    assert [sample["text"] for sample in samples] == texts
    for text in texts:
        assert END_OF_TEXT not in text
        if values["include_prefix"]:
            assert text.startswith(str(values["prefix"]).replace("\r\n", "\n"))


def test_the_text_is_what_the_engine_writes(service: Service) -> None:
    model = service.current_model.get().model
    prompt = [model.tokenizer.end_of_text, *model.tokenizer.encode("Wren and")]
    tokens = list(
        model.submit(prompt, length=20, sampling=Sampling(0.7, top_k=40, top_p=0.9), seed=7)
    )
    answer = write(service, prefix="Wren and", length=20, seed=7, top_k=40, top_p=0.9, end="token")
    written = model.tokenizer.decode(tokens).decode(errors="ignore")
    plain = "".join(c for c in written if c in "\n\t" or unicodedata.category(c) != "Cc")
    assert answer["text"] == "Wren and" + plain
    assert answer["tokens"] == len(tokens)


def test_every_sample_replays_alone(service: Service) -> None:
    answer = write(service, prefix="Wren", length=30, nsamples=3, seed=2**32 - 1)
    samples = answer["samples"]
    assert isinstance(samples, list)
    assert [sample["seed"] for sample in samples] == [2**32 - 1, 0, 1]
    for sample in samples:
        alone = write(service, prefix="Wren", length=30, seed=sample["seed"])
        assert alone.items() >= sample.items()
    assert answer.items() >= samples[0].items()


def test_a_seed_is_drawn_and_told(service: Service) -> None:
    first, second = (write(service, prefix="Wren", length=30) for _ in range(2))
    assert first["seed"] != second["seed"]
    assert write(service, prefix="Wren", length=30, seed=first["seed"]) == first


def test_a_story_goes_on_beyond_the_context_window(service: Service) -> None:
    """From a prefix that nearly fills it, and from one that is longer."""
    for prefix in ("the " * 200, "the " * 400):
        answers = [write(service, prefix=prefix, length=300, seed=seed) for seed in range(20)]
        assert max(int(str(answer["tokens"])) for answer in answers) == 300
        assert all(str(answer["text"]).startswith(prefix) for answer in answers)


def test_truncate_ends_the_text(service: Service) -> None:
    whole = str(write(service, prefix="Wren", seed=3, length=80, end="token")["text"])
    at = next(i for i in range(10, len(whole)) if whole[i] not in whole[4:i])
    answer = write(service, prefix="Wren", seed=3, length=80, end="token", truncate=whole[at])
    assert answer["text"] == whole[:at]
    assert answer["finish_reason"] == "stop"
    assert int(str(answer["tokens"])) < 80
