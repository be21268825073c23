"""Stories from a real, if tiny, model."""

import re
import unicodedata
from pathlib import Path

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import create_app
from app.queue import Overloaded
from app.schemas import ParameterError, StoryRequest
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
    return Stories(StoryRequest.model_validate(values), service, visitor, "a visitor")


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
    samples = whole.get("samples", [whole])
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


def a_service(checkpoint: Path, **settings: object) -> Service:
    values = {"CHECKPOINT": str(checkpoint), "THREADS": 1, **settings}
    found: Service = create_app(values).extensions["service"]
    return found


class Leaving(Visitor):
    """A visitor who stays for some looks."""

    def __init__(self, looks: int) -> None:
        super().__init__(None)
        self.looks = looks

    def has_left(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def test_a_visitor_who_leaves_is_not_written_for(busy_checkpoint: Path) -> None:
    service = a_service(busy_checkpoint)
    stories = begin(service, Leaving(2), prefix="Wren", length=1000, nsamples=8, end="token")
    with pytest.raises(Abandoned):
        stories.write()
    assert service.queue.running == 0
    # A cancelled request is gone before the next one is answered.
    write(service, length=1)
    assert service.current_model.get().model.stats().running <= 1


def test_closing_frees_queue_and_engine(busy_checkpoint: Path) -> None:
    service = a_service(busy_checkpoint)
    values = {"prefix": "Wren", "length": 1000, "nsamples": 8, "end": "token"}
    stories = begin(service, **values)
    next(iter(stories.events()))
    stories.close()
    begin(service, **values).close()  # never read
    write(service, length=1)
    assert service.queue.running == 0
    assert service.current_model.get().model.stats().running <= 1


def test_who_waits_hears_of_it_and_leaves_the_line(tiny_checkpoint: Path) -> None:
    service = a_service(tiny_checkpoint, MAX_BATCH=2)
    first = begin(service, length=200, nsamples=2)
    events = begin(service, Leaving(1), length=5).events()
    waiting = next(events)
    assert isinstance(waiting, Waiting)
    assert waiting.position == 1
    assert waiting.wait >= 0
    with pytest.raises(Abandoned):
        list(events)
    assert service.queue.waiting == 0
    second = begin(service, length=5, seed=1)
    first.close()
    assert second.write().tokens == 5


def test_nobody_waits_longer_than_was_promised(tiny_checkpoint: Path) -> None:
    service = a_service(tiny_checkpoint, MAX_BATCH=1, MAX_WAIT=0.2)
    begin(service, length=5)  # it takes the only slot, and is never read
    with pytest.raises(Overloaded) as refused:
        write(service, length=5)
    assert refused.value.retry_after >= 1
    assert service.queue.waiting == 0


def test_a_deadline_ends_a_story(busy_checkpoint: Path) -> None:
    service = a_service(busy_checkpoint, DEADLINE=0.3)
    answer = write(service, prefix="Wren", length=1000, nsamples=16, end="token", seed=1)
    samples = answer["samples"]
    assert isinstance(samples, list)
    assert "deadline" in {sample["finish_reason"] for sample in samples}
    whole = write(a_service(busy_checkpoint), prefix="Wren", length=1000, end="token", seed=1)
    assert str(whole["text"]).startswith(samples[0]["text"])


@pytest.fixture
def strict(tiny_checkpoint: Path, tmp_path: Path, service: Service) -> tuple[Service, str]:
    """A service that does not like a word which seed 5 writes, and the text before it."""
    text = str(write(service, prefix="Wren", seed=5, length=60, end="token")["text"])
    word = max(re.findall(r"[A-Za-z]{4,}", text[4:]), key=len)
    (tmp_path / "words.txt").write_text(word)
    return a_service(tiny_checkpoint, BLOCKED_WORDS=str(tmp_path / "words.txt")), word


def test_a_text_that_is_refused_is_drawn_anew(strict: tuple[Service, str]) -> None:
    service, word = strict
    values = {"prefix": "Wren", "length": 60, "end": "token", "seed": 5}
    stories = begin(service, **values, resample=5)
    text, resets = "", 0
    for event in stories.events():
        if isinstance(event, Reset):
            assert event.reason in ("word", "loop")
            text, resets = "", resets + 1
        elif isinstance(event, Text):
            assert word.casefold() not in event.text.casefold().split()
            text += event.text
    answer = stories.response()
    assert resets >= 1
    assert (answer.text, answer.attempts) == (text, resets + 1)
    assert answer.seed != 5
    replay = write(service, **{**values, "seed": answer.seed})
    assert replay["text"] == answer.text
    assert write(service, **values, resample=5)["text"] == answer.text


def test_a_seed_that_may_not_be_drawn_anew_ends_before_the_word(
    strict: tuple[Service, str],
) -> None:
    service, word = strict
    answer = write(service, prefix="Wren", length=60, end="token", seed=5)
    assert (answer["finish_reason"], answer["attempts"]) == ("filtered", 1)
    assert not re.search(rf"\b{word}\b", str(answer["text"]))


def test_a_prefix_with_a_word_of_the_list_is_refused(strict: tuple[Service, str]) -> None:
    service, word = strict
    with pytest.raises(ParameterError) as error:
        begin(service, prefix=f"The {word.upper()}!")
    assert error.value.field == "prefix"
    assert service.queue.running == 0


def test_copies_are_named(tiny_checkpoint: Path, tmp_path: Path, service: Service) -> None:
    for seed in range(100):
        values = {"prefix": "Wren", "seed": seed, "length": 400, "end": "token"}
        text = str(write(service, **values)["text"])[4:]
        if len(re.findall(r"[^\W_]+", text)) > 20:
            break
    (tmp_path / "train.txt").write_text(f"The first tale\n{text}\n<|endoftext|>\nAnother.\n")
    careful = a_service(tiny_checkpoint, CORPUS=str(tmp_path / "train.txt"))
    copied = begin(careful, **values).write().copied
    assert copied
    assert copied[0].source == "The first tale"
    assert sum(run.words for run in copied) >= 12
    assert all(run.text in text for run in copied)
    anew = begin(careful, **values, resample=2).write()
    assert anew.attempts == 2
    assert anew.copied == []
    assert begin(service, **values).write().copied is None


def test_stories_are_stored_and_replay(service: Service) -> None:
    answer = begin(service, prefix="Wren", length=30, nsamples=2, stop=["zz"]).write()
    for sample in answer.samples or []:
        assert sample.id
        stored = service.library.get(sample.id)
        assert stored
        assert sample.url == f"/s/{sample.id}"
        assert stored.prefix + stored.text == sample.text
        again = begin(service, prefix=stored.prefix, seed=stored.seed, **stored.parameters).write()
        assert (again.text, again.id, again.model) == (sample.text, sample.id, stored.model)


def test_without_a_database_there_are_stories_but_no_addresses(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    service = a_service(tiny_checkpoint, DATABASE_URL=f"sqlite:///{tmp_path}/file/stories.db")
    answer = begin(service, prefix="Wren", length=5).write()
    assert answer.text
    assert (answer.id, answer.url) == (None, None)
