"""From picks to documents: what strangers can do, and what they cannot."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import TrainingError, feedback
from training.feedback import Feedback

WORDS = ["lantern", "mill", "otter", "bridge", "candle", "ferry", "storm", "roof", "water", "bell"]
WORDS += ["song", "map", "door", "fire", "beach", "girl", "tail", "boat", "giant", "pie", "rope"]


@dataclass(frozen=True)
class Story:
    """A pick as app.library tells it."""

    id: str
    prefix: str
    text: str
    voters: frozenset[str]
    parent: str | None = None


def prose(seed: object, count: int = 60) -> str:
    """So many words, in sentences; others for each seed."""
    chosen = random.Random(str(seed))
    drawn = [f"{chosen.choice(WORDS)}{'.' if n % 6 == 5 else ''}" for n in range(count - 1)]
    return " ".join([*drawn, "end."])


def story(number: int, voters: Iterable[str] = ("ann",), **fields: str) -> Story:
    given = {"prefix": f"Odo {number} rows", "text": f" {prose(number)}"}
    return Story(f"{number:012d}", voters=frozenset(voters), **given | fields)


def choose(
    picks: Iterable[Story], corpus: Iterable[str] = (), per_visitor: int = feedback.PER_VISITOR
) -> Feedback:
    return feedback.choose(picks, corpus, refusal=lambda text: None, per_visitor=per_visitor)


def texts(found: Feedback) -> set[str]:
    return {*found.train, *found.held_out}


def whole(pick: Story) -> str:
    return pick.prefix + pick.text


def test_a_pick_becomes_a_document_as_a_reader_sees_it() -> None:
    pick = story(1, text=f"  {prose(1)}\n\n\nThe \u201cend\u201d.  ")
    assert texts(choose([pick])) == {f'Odo 1 rows {prose(1)}\n\nThe "end".'}


@given(
    st.lists(st.frozensets(st.sampled_from("abcd"), min_size=1), max_size=30),
    st.integers(1, 4),
)
def test_nobody_brings_in_more_than_the_limit(votes: list[frozenset[str]], most: int) -> None:
    """Nor do several together bring in more than the sum of theirs."""
    picks = [story(number, voters) for number, voters in enumerate(votes)]
    found = texts(choose(picks, per_visitor=most))
    chosen = [pick for pick in picks if whole(pick) in found]
    assert len(chosen) == len(found)
    for size in range(1, 5):
        for some in combinations("abcd", size):
            assert sum(pick.voters <= set(some) for pick in chosen) <= most * size
    # None is left out as long as one of its voters could bring it in.
    for pick in set(picks) - set(chosen):
        assert sum(bool(other.voters & pick.voters) for other in chosen) >= most


def test_what_several_picked_comes_first() -> None:
    picks = [story(number) for number in range(5)]
    liked = [story(number, ("ann", "bob")) for number in (10, 11)]
    found = choose([*picks, *liked], per_visitor=1)
    assert texts(found) == {whole(pick) for pick in liked}
    assert found.left_out == {"more than 1 of a visitor": 5}


@given(st.sets(st.integers(0, 300), min_size=1), st.sets(st.integers(0, 300)), st.booleans())
def test_what_is_held_out_is_never_trained_on(before: set[int], added: set[int], one: bool) -> None:
    """Whatever comes and goes, and whether somebody's limit is reached."""
    old, new = (
        choose(story(number, ["ann" if one else f"{number}"]) for number in numbers)
        for numbers in (before, before ^ added)
    )
    for found in (old, new):
        assert not {*found.train} & {*found.held_out}
    assert not {*old.held_out} & {*new.train}
    assert not {*old.train} & {*new.held_out}


def test_about_a_seventh_is_held_out() -> None:
    found = choose(story(number, [f"{number}"]) for number in range(400))
    assert 40 <= len(found.held_out) <= 80
    found.check()


def test_a_chain_is_one_document_on_the_side_of_its_beginning() -> None:
    for number in range(20):
        root = story(number)
        chain = [root]
        for part in range(1, 4):
            one = story(100 * part + number, parent=chain[-1].id, prefix=whole(chain[-1]))
            chain.append(one)
        alone, together = choose([root]), choose(chain)
        assert texts(together) == {whole(chain[-1])}
        assert len(alone.held_out) == len(together.held_out)
        # A fork of it, which more visitors picked, takes its place.
        fork = story(900, ("ann", "bob"), parent=root.id, prefix=whole(root))
        assert texts(choose([*chain, fork])) == {whole(fork)}


def test_an_opening_that_many_share_is_learned_a_few_times() -> None:
    opening = "It is raining in Tidewell, and Fizzlet refuses to"
    picks = [story(number, [f"{number}"], prefix=opening) for number in range(20)]
    found = choose(picks)
    assert len(texts(found)) == 3
    assert found.left_out == {"begins like others": 17}


def test_what_is_mostly_typed_stays_out() -> None:
    advert = story(1, prefix=prose("buy this", 80))
    root = story(2)
    # Typed between two stories; what a model wrote before it counts as written.
    going_on = story(3, parent=root.id, prefix=f"{whole(root)} {prose('buy this', 40)}")
    too_much = story(4, parent=root.id, prefix=f"{whole(root)} {prose('buy that', 150)}")
    forged = story(5, parent=root.id, prefix=prose("not what it was", 80))
    assert choose([advert]).left_out == {"mostly typed": 1}
    assert texts(choose([root, going_on])) == {whole(going_on)}
    assert texts(choose([root, too_much])) == {whole(root)}
    assert choose([root, forged]).left_out == {"mostly typed": 1}
    assert choose([going_on]).left_out == {"mostly typed": 1}  # its parent is gone


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (" Write to ann.lee@example.org, now.", "a web address"),
        (" Write to ann.lee@mail.example.fr.", "personal data"),
        (" Call me: +44 20 7946 0958.", "personal data"),
        (" See HTTPS://hats.example for hats.", "a web address"),
        (" Buy at best-hats.com today.", "a web address"),
        (" And then the girl", "cut off"),
        (" " + prose(2, 1000), "more than 1000 words"),
        (" " + "The rope. " * 200, "repeats its words"),
    ],
)
def test_what_nobody_should_learn_stays_out(ending: str, reason: str) -> None:
    found = choose([story(1, text=f" {prose(1)}{ending}")])
    assert (texts(found), found.left_out) == (set(), {reason: 1})


def test_what_is_too_short_stays_out() -> None:
    assert choose([story(1, text=" ferry. The end of it.")]).left_out == {"fewer than 40 words": 1}


def test_what_the_gate_refuses_stays_out_and_costs_its_voters_nothing() -> None:
    picks = [story(number) for number in range(6)]
    found = feedback.choose(
        picks, (), refusal=lambda text: "word" if text < "Odo 3" else None, per_visitor=3
    )
    assert texts(found) == {whole(pick) for pick in picks[3:]}
    assert "word" in found.left_out


def test_nearly_the_same_is_learned_once_and_never_what_the_corpus_has() -> None:
    picks = [story(number, [f"{number}"]) for number in range(40)]
    # Other first words, or they would begin alike.
    twins = [story(100 + n, [f"{n}"], text=pick.text) for n, pick in enumerate(picks)]
    found = choose([*picks, *twins])
    assert len(texts(found)) == 40
    assert found.left_out == {"nearly a duplicate": 40}
    # Where one of the two was held out, the other is not trained on.
    for one, other in zip(picks, twins, strict=True):
        pair = choose([one, other])
        apart = choose([one]), choose([other])
        assert len(pair.held_out) == any(alone.held_out for alone in apart)
    known = [f"Somebody else rows{pick.text}" for pick in picks[:10]]
    assert not texts(choose(picks, known)) & {whole(pick) for pick in picks[:10]}


def test_the_order_in_which_picks_come_makes_no_difference() -> None:
    picks = [story(number, ["ann", "bob"] if number % 3 else ["cid"]) for number in range(30)]
    assert choose(picks) == choose(reversed(picks))


def test_too_few_are_told() -> None:
    found = choose(story(number, [f"{number}"]) for number in range(20))
    with pytest.raises(
        TrainingError, match=rf"too few picks .*: {len(found.train)}, and .* 50 and"
    ):
        found.check()
