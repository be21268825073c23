"""Scenes out of messages: whose lines, which scenes, which names."""

import re
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.dialogue import Names, People, Scenes
from corpus.importers.source import Dropped, Message, Text

NOON = datetime(2021, 1, 1, 12)


def message(
    sender: str,
    text: str,
    minutes: float | None = 0,
    *,
    mine: bool | None = None,
    zone: bool = False,
    conversation: str = "c",
) -> Message:
    date = None
    if minutes is not None:
        date = (NOON if not zone else NOON.replace(tzinfo=UTC)) + timedelta(minutes=minutes)
    mine = sender == "me" if mine is None else mine
    return Message(conversation=conversation, sender=sender, text=text, date=date, mine=mine)


def scenes(
    *messages: Message, others: bool = True, names: Names | None = None
) -> list[Text | Dropped]:
    people: People = {}
    for one in messages:
        people.setdefault(one.conversation, {})[one.sender] = bool(one.mine)
    made = Scenes(people, others=others, names=names)
    return [*(item for one in messages for item in made.add(one)), *made.finish()]


def texts(*messages: Message, others: bool = True, names: Names | None = None) -> list[str]:
    return [item.text for item in scenes(*messages, others=others, names=names)
            if isinstance(item, Text)]  # fmt: skip


def renamed(text: str, *people: str) -> str:
    """A line of one's own in which other people of the conversation are spoken of."""
    talk = [message(person, "...", n) for n, person in enumerate(people)]
    [scene] = texts(*talk, message("me", text, len(people)), names=Names())
    return scene.split("\n\n- ")[-1]


def test_runs_are_joined_and_everybody_has_a_sign() -> None:
    talk = [
        message("me", "Hello!"),
        message("me", "Anybody\nthere?", 1),
        message("Ann", "Yes.", 2),
        message("Bob", "I am,", 3),
        message("Bob", "too.", 4),
        message("me", "Good.", 5),
    ]
    assert texts(*talk) == ["- Hello! Anybody there?\n\n> Yes.\n\n> I am, too.\n\n- Good."]


def test_an_archive_that_has_only_ones_own_lines_is_kept() -> None:
    assert texts(message("me", "a"), message("me", "b", 400)) == ["- a", "- b"]
    # Of others who speak later it is known that they were there.
    alone = [message("me", "anybody?"), message("me", "hi", 600), message("Ann", "hi", 601)]
    assert scenes(*alone)[0] == Dropped("one-sided scene")
    only_others = [message("Ann", "a"), message("Bob", "b", 1)]
    assert scenes(*only_others) == [Dropped("one-sided scene")]


def test_a_long_silence_ends_a_scene_and_one_sided_ones_are_dropped() -> None:
    talk = [
        message("me", "a"),
        message("Ann", "b", 179),
        message("Ann", "alone", 360),
        message("Ann", "c", 600),
        message("me", "d", 601),
    ]
    assert scenes(*talk)[1] == Dropped("one-sided scene")
    assert texts(*talk) == ["- a\n\n> b", "> c\n\n- d"]


def test_without_the_others_their_lines_are_counted_and_no_line_has_a_sign() -> None:
    talk = [message("me", "a"), message("Ann", "b"), message("me", "c")]
    found = scenes(*talk, others=False)
    assert found[0] == Dropped("somebody else's (--others)")
    assert [item.text for item in found if isinstance(item, Text)] == ["a c"]


def test_small_disorder_is_mended_with_and_without_time_zones() -> None:
    for zone in (False, True):
        talk = [
            message("me", "1", 1, zone=zone),
            message("Ann", "3", 3, zone=zone),
            message("me", "2", 2),
            message("Ann", "4", 4),
        ]
        assert texts(*talk) == ["- 1 2\n\n> 3 4"]


def test_a_message_without_a_date_stays_where_it_is() -> None:
    talk = [message("Ann", "a", 5), message("me", "b", None), message("Ann", "c", 6)]
    [scene] = [item for item in scenes(*talk) if isinstance(item, Text)]
    assert scene.text == "> a\n\n- b\n\n> c"
    assert scene.date == NOON + timedelta(minutes=5)
    # The name of a conversation, which is that of its people, does not show.
    assert re.fullmatch(r"[0-9a-f]{8}-20210101-120500", scene.id or "")


def test_conversations_do_not_run_into_each_other() -> None:
    talk = [
        message("me", "a", conversation="one"),
        message("Ann", "b", conversation="one"),
        message("me", "c", conversation="two"),
        message("Ann", "d", conversation="two"),
    ]
    assert texts(*talk) == ["- a\n\n> b", "- c\n\n> d"]


@given(st.lists(st.tuples(st.sampled_from(["me", "Ann", "Bob"]), st.integers(0, 999))))
def test_every_word_comes_back_once_in_order(lines: list[tuple[str, int]]) -> None:
    minute = 0
    talk = []
    for number, (sender, pause) in enumerate(lines):
        minute += pause
        talk.append(message(sender, f"w{number}", minute))
    found = scenes(*talk, others=False)
    mine = [f"w{n}" for n, (sender, _) in enumerate(lines) if sender == "me"]
    said = " ".join(item.text for item in found if isinstance(item, Text))
    assert re.findall(r"w\d+", said) == mine
    assert sum(isinstance(item, Dropped) for item in found) == len(lines) - len(mine)


def test_memory_stays_flat_without_silence_and_without_dates() -> None:
    people = {"c": {"me": True, **{f"Person {n}": False for n in range(50)}}}
    made = Scenes(people, others=True, names=Names())
    tracemalloc.start()
    for number in range(40_000):
        sender = f"Person {number % 50}" if number % 2 else "me"
        for _ in made.add(message(sender, f"{number} " * 10, None)):
            pass
        if number == 5_000:
            tracemalloc.reset_peak()
            early = tracemalloc.get_traced_memory()[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - early < 2_000_000  # the messages are ten times as much


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Anna Smith is here", "Robin is here"),
        ("Hi Anna, is this Anna's?", "Hi Robin, is this Robin's?"),
        ("hi anna! ANNA! @anna", "hi Robin! Robin! @Robin"),
        ("Annabel, Hanna and Anna_1", "Annabel, Hanna and Anna_1"),
        ("Susanna", "Susanna"),
        ("Anna\u2019s", "Robin\u2019s"),
    ],
)
def test_names_are_replaced_and_parts_of_words_are_not(text: str, expected: str) -> None:
    assert renamed(text, "Anna Smith") == expected


def test_a_name_that_is_a_word_is_no_name_in_lower_case() -> None:
    assert renamed("Will, will you?", "Will Byers") == "Robin, will you?"
    assert renamed("a rose for Rose", "Rose") == "a rose for Robin"
    assert renamed("The cookie is mine", "The Cookie") == "The cookie is mine"
    assert renamed("want a cookie?", "cookie") == "want a cookie?"
    assert renamed("Deleted it, user", "deleted user") == "Deleted it, user"


def test_names_with_decoration_and_without_letters() -> None:
    assert renamed("Anna!", "🌸 Anna 🌸") == "Robin!"
    assert renamed("A dog and 12", "A", "+12", "🌸") == "A dog and 12"
    assert renamed("O'Brien and o'brien", "O'Brien") == "Robin and Robin"
    assert renamed("hey mlomb", "mlomb") == "hey Robin"
    assert renamed("Zo\u00eb, Zoe\u0308", "Zoe\u0308") == "Robin, Robin"


def test_one_person_keeps_one_name_in_all_conversations() -> None:
    names = Names()
    talk = []
    for conversation in ("one", "two"):
        talk += [
            message("Zoe", "I am Zoe. Bert?", 0, conversation=conversation),
            message("Bert", "Zoe!", 1, conversation=conversation),
            message("me", "Hi Zoe and Bert", 2, conversation=conversation),
        ]
    one, two = texts(*talk, names=names)
    assert one == two == "> I am Robin. Alex?\n\n> Robin!\n\n- Hi Robin and Alex"


def test_an_other_name_is_nobodys_real_name() -> None:
    assert renamed("Anna, Robin", "Anna", "Robin Hood") == "Alex, Kim"
    talk = [message("Anna", "."), message("Robin", ".", 1, mine=True), message("Anna", "Anna", 2)]
    assert "Alex" in texts(*talk, names=Names())[0]
    # Where he comes later, she is called otherwise from then on.
    names = Names()
    assert names.of("Anna") == names.of("Anna") == "Robin"
    assert names.of("Anna", {"robin"}) == "Alex"
    assert names.of("Bert") == "Kim"


@given(st.lists(st.from_regex(r"[A-Z][a-z]{2,8}", fullmatch=True), unique=True, max_size=40))
def test_other_names_are_distinct_and_none_is_real(people: list[str]) -> None:
    names, real = Names(), {person.casefold() for person in people}
    others = [names.of(person, real) for person in people]
    assert len(set(others)) == len(people)
    assert not {other.casefold() for other in others} & real


@given(st.text(), st.lists(st.text(min_size=1), max_size=4))
def test_no_text_and_no_name_breaks_it(text: str, people: list[str]) -> None:
    talk = [message(person, text, n) for n, person in enumerate(people)]
    texts(*talk, message("me", text, 9, mine=True), names=Names())


def test_names_are_kept_where_one_wants_them() -> None:
    assert texts(message("Anna", "I"), message("me", "Anna!")) == ["> I\n\n- Anna!"]
