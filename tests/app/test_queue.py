"""The queue in front of the engine, on a clock of its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.queue import Overloaded, Place, Queue


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def has_turn(place: Place) -> bool:
    return place.wait(0)


def test_first_come_first_served() -> None:
    queue = Queue(2, max_wait=1000, max_waiting=10)
    places = [queue.enter(1, 10) for _ in range(5)]
    assert [has_turn(place) for place in places] == [True, True, False, False, False]
    assert [place.outlook()[0] for place in places] == [0, 0, 1, 2, 3]
    places[1].leave()
    assert [has_turn(place) for place in places[2:]] == [True, False, False]
    places[3].leave()  # it gives up in the line
    assert places[4].outlook()[0] == 1
    places[0].finish_one()
    assert has_turn(places[4])
    for place in places:
        place.leave()
        place.leave()
    assert (queue.running, queue.waiting) == (0, 0)


def test_a_request_of_several_stories_waits_for_as_many_slots() -> None:
    queue = Queue(3, max_wait=1000, max_waiting=10)
    first = queue.enter(2, 10)
    second = queue.enter(3, 10)
    third = queue.enter(1, 10)
    assert has_turn(first) and not has_turn(second)
    assert not has_turn(third)  # though there is a slot: nobody overtakes
    first.finish_one()
    assert not has_turn(second)
    first.finish_one()
    assert has_turn(second) and not has_turn(third)
    second.finish_one()
    assert has_turn(third)


def test_the_estimate_is_what_the_stories_ahead_take() -> None:
    clock = Clock()
    queue = Queue(2, max_wait=1000, max_waiting=10, clock=clock)
    first, second = queue.enter(1, 100), queue.enter(1, 300)
    for step in range(1, 51):  # each draws a token every 0.2 s
        clock.now = step * 0.2
        first.advance(1, 100 - step)
        second.advance(1, 300 - step)
    assert queue.speed == pytest.approx(10, rel=0.1)
    third, fourth, fifth = (queue.enter(1, 40) for _ in range(3))
    waits = [place.outlook()[1] for place in (third, fourth, fifth)]
    # The first has 50 tokens to go, third and fourth 40 each: all before the second ends.
    assert waits == pytest.approx([10, 18, 26], rel=0.1)
    assert queue.wait() == pytest.approx(34, rel=0.1)


def test_who_cannot_begin_in_time_is_told_when_to_come_back() -> None:
    clock = Clock()
    queue = Queue(1, max_wait=5, max_waiting=10, clock=clock)
    first = queue.enter(1, 100)
    for step in range(1, 41):
        clock.now = step * 0.2
        first.advance(1, 100 - step)
    with pytest.raises(Overloaded) as refused:  # 60 tokens of 0.2 s are ahead
        queue.enter(1, 10)
    assert refused.value.retry_after == pytest.approx(12 - 5, abs=2)
    clock.now += refused.value.retry_after
    first.advance(35, 25)
    assert queue.enter(1, 10).outlook()[0] == 1


def test_who_is_refused_comes_back_one_after_the_other() -> None:
    clock = Clock()
    queue = Queue(4, max_wait=5, max_waiting=2, clock=clock)
    places = [queue.enter(1, 100) for _ in range(6)]

    def refused(stories: int, length: int) -> float:
        with pytest.raises(Overloaded) as refused:
            queue.enter(stories, length)
        return refused.value.retry_after

    first = refused(1, 400)
    # A hundredth of a second a token, before one is measured; a quarter of the engine each.
    assert refused(1, 400) == pytest.approx(first + 1)
    assert refused(2, 400) == pytest.approx(first + 3)
    clock.now = 2
    assert refused(1, 400) == pytest.approx(first + 2)
    assert [refused(4, 1000) for _ in range(10)][-1] == 60  # however many there are
    for place in places:
        place.leave()
    queue.enter(1, 100)  # nobody waits for those who may never come back
    clock.now = 100
    assert queue.wait() == 0


def test_the_line_is_bounded() -> None:
    queue = Queue(1, max_wait=1000, max_waiting=3)
    places = [queue.enter(1, 10) for _ in range(4)]
    with pytest.raises(Overloaded) as refused:
        queue.enter(1, 10)
    assert refused.value.retry_after >= 1
    assert queue.waiting == 3
    places[2].leave()
    queue.enter(1, 10)


def test_a_reader_who_was_away_does_not_slow_the_estimate() -> None:
    clock = Clock()
    queue = Queue(1, max_wait=1000, max_waiting=10, clock=clock)
    place = queue.enter(1, 1000)
    for step in range(1, 21):
        clock.now = step * 0.2
        place.advance(10, 1000 - 10 * step)
    before = queue.wait()
    for tokens in (10, 1):
        clock.now += 50
        place.advance(tokens, 790)
        assert queue.wait() <= before


def test_reading_a_long_prompt_does_not_count_as_pace() -> None:
    clock = Clock()
    queue = Queue(1, max_wait=1000, max_waiting=10, clock=clock)
    place = queue.enter(1, 100)
    before = queue.wait()
    clock.now = 0.9
    place.advance(1, 99)
    assert queue.wait() <= before


@given(st.lists(st.tuples(st.sampled_from(["enter", "finish", "leave"]), st.integers(0, 30))))
def test_slots_are_never_lost_or_lent_twice(steps: list[tuple[str, int]]) -> None:
    slots = 4
    queue = Queue(slots, max_wait=1e9, max_waiting=5)
    places: list[Place] = []
    for action, number in steps:
        if action == "enter":
            try:
                places.append(queue.enter(1 + number % slots, 1 + number))
            except Overloaded:
                assert queue.waiting == 5
        elif places and action == "finish":
            places[number % len(places)].finish_one()
        elif places:
            places.pop(number % len(places)).leave()
        served = [place for place in places if has_turn(place)]
        assert sum(place.unfinished for place in served) <= slots
        if queue.waiting:
            first = next(place for place in places if place.outlook()[0] == 1)
            assert sum(place.unfinished for place in served) + first.unfinished > slots
            assert all(place.outlook()[1] >= 0 for place in places)
    for place in places:
        place.leave()
    assert (queue.running, queue.waiting) == (0, 0)
    assert has_turn(queue.enter(slots, 1))
