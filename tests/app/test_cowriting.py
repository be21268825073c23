"""The co-writing page in a real Chromium, through nginx and uWSGI."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, Request, Route, expect

from .conftest import StartUwsgi, Visit, wait_until

OPENING = "Wren & Fizzlet <walk> along"
MARKUP = "<img src=x onerror=alert(1)> \"'&amp;"


@pytest.fixture
def page(visit: Visit) -> Page:
    """The empty page."""
    page = visit(viewport={"width": 1280, "height": 800})
    page.goto("/")
    return page


def box(page: Page) -> Locator:
    return page.locator("textarea")


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def write_on(page: Page) -> list[str]:
    """Asks for candidates; their texts when they are written."""
    button(page, "Write on").click()
    return candidates(page)


def candidates(page: Page) -> list[str]:
    expect(page.get_by_role("status")).to_have_text(re.compile("written"))
    return page.locator("#cards .text").all_text_contents()


def asked(request: Request) -> dict[str, Any]:
    values: dict[str, Any] = request.post_data_json
    return values


def served(*events: tuple[str, object]) -> Callable[[Route], None]:
    """Answers a request of the page with these events."""
    body = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
    return lambda route: route.fulfill(body=body, content_type="text/event-stream")


def sample(text: str = " So it goes.", **fields: object) -> dict[str, object]:
    return {
        "text": text,
        "seed": 1,
        "tokens": 4,
        "finish_reason": "length",
        "id": None,
        "url": None,
        "copied": None,
        "attempts": 1,
        **fields,
    }


def done(*samples: dict[str, object]) -> tuple[str, dict[str, object]]:
    return "done", {**samples[0], "prefix": "", "model": "m", "samples": list(samples)}


def test_three_candidates_and_one_is_picked(page: Page, site: str) -> None:
    box(page).fill(OPENING)
    texts = write_on(page)
    assert len(texts) == 3
    links = page.get_by_role("link", name="Share").all()
    ids = [str(link.get_attribute("href")).removeprefix("/s/") for link in links]
    button(page, "Pick 2").click()
    stored = requests.get(f"{site}/stories/{ids[1]}", timeout=60).json()
    assert stored["text"].lstrip() == texts[1]
    expect(box(page)).to_have_value(OPENING + stored["text"])
    expect(page.locator("#candidates")).to_be_hidden()
    expect(box(page)).to_be_focused()
    page.keyboard.type("!")
    expect(box(page)).to_have_value(f"{OPENING}{stored['text']}!")
    with page.expect_request("**/generate") as request:
        write_on(page)
    assert asked(request.value)["parent"] == ids[1]
    assert asked(request.value)["prefix"] == f"{OPENING}{stored['text']}!"
    family = requests.get(f"{site}/stories/{ids[1]}", timeout=60).json()["family"]
    assert len(family) == 4


def test_the_keyboard_is_enough(page: Page) -> None:
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("Wren 1")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("2")
    expect(box(page)).to_have_value("Wren 1\n2")
    page.keyboard.press("Enter")
    texts = candidates(page)
    page.keyboard.press("3")
    expect(box(page)).to_be_focused()
    picked = box(page).input_value()
    assert re.fullmatch(rf"Wren 1\n2\s*{re.escape(texts[2])}", picked)
    page.keyboard.press("Control+Enter")
    candidates(page)
    page.keyboard.press("Control+z")
    expect(box(page)).to_have_value("Wren 1\n2")


def test_any_character_may_be_typed(page: Page) -> None:
    opening = "Wren\u2028and\u2029Odo \U0001f98a\x85"
    box(page).fill(opening)
    assert len(write_on(page)) == 3
    button(page, "Pick 1").click()
    expect(box(page)).to_have_value(re.compile(re.escape(opening)))


def twice(page: Page) -> None:
    box(page).press("Enter")
    box(page).press("Enter")


def held(page: Page) -> None:
    box(page).focus()
    for _ in range(5):
        page.keyboard.down("Enter")  # a second time without up: it repeats
        box(page).focus()
    page.keyboard.up("Enter")


def held_with_control(page: Page) -> None:
    page.keyboard.down("Control")
    held(page)
    page.keyboard.up("Control")


@pytest.mark.parametrize(
    "press", [twice, held, held_with_control, lambda page: button(page, "Write on").dblclick()]
)
def test_who_asks_twice_gets_one_story(page: Page, press: Callable[[Page], None]) -> None:
    asking: list[Route] = []
    answer = served(done(*[sample(f" {i}") for i in range(3)]))
    page.route("**/generate", answer)
    box(page).fill(OPENING)
    write_on(page)  # with candidates on it, the page does not move away under a double click
    page.route("**/generate", lambda route: asking.append(route))  # noqa: PLW0108
    press(page)
    expect(button(page, "Stop")).to_be_visible()
    answer(asking[0])
    assert candidates(page) == ["0", "1", "2"]
    assert len(asking) == 1


def test_a_held_key_stops_once(page: Page) -> None:
    page.route("**/generate", lambda _: None)  # never answered
    button(page, "Write on").click()
    button(page, "Stop").focus()
    for _ in range(4):
        page.keyboard.down("Enter")
    expect(page.get_by_role("status")).to_have_text("Stopped.")
    expect(button(page, "Write on")).to_be_visible()


def test_another_replaces_one_alone(page: Page) -> None:
    box(page).fill(OPENING)
    before = write_on(page)
    with page.expect_request("**/generate") as request:
        button(page, "Another for 2").click()
    assert asked(request.value)["nsamples"] == 1
    expect(page.get_by_role("status")).to_have_text("Another is written.")
    after = page.locator("#cards .text").all_text_contents()
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1] != before[1]
    button(page, "Undo").click()
    assert page.locator("#cards .text").all_text_contents() == before


def test_picks_and_typing_are_undone_and_redone(page: Page) -> None:
    box(page).press_sequentially("Wren walks")
    texts = write_on(page)
    button(page, "Pick 1").click()
    picked = box(page).input_value()
    box(page).press_sequentially(" home")
    for _ in " home":
        page.keyboard.press("Backspace")
    page.keyboard.press("Control+z")
    expect(box(page)).to_have_value(f"{picked} home")
    page.keyboard.press("Control+z")
    expect(box(page)).to_have_value(picked)
    page.keyboard.press("Control+z")
    expect(box(page)).to_have_value("Wren walks")
    assert page.locator("#cards .text").all_text_contents() == texts
    page.keyboard.press("Control+z")
    expect(box(page)).to_have_value("Wren")
    button(page, "Undo").click()
    expect(box(page)).to_have_value("")
    expect(button(page, "Undo")).to_have_attribute("aria-disabled", "true")
    expect(button(page, "Undo")).to_be_focused()
    for words in ("Wren", "Wren walks", picked):
        page.keyboard.press("Control+Shift+z")
        expect(box(page)).to_have_value(words)
    page.keyboard.press("Control+y")
    expect(box(page)).to_have_value(f"{picked} home")
    button(page, "Redo").click()
    expect(box(page)).to_have_value(picked)


def test_typing_while_it_is_written_is_undone_alone(page: Page) -> None:
    held: list[Route] = []
    page.route("**/generate", lambda route: held.append(route))  # noqa: PLW0108
    box(page).fill("Wren")
    button(page, "Write on").click()
    box(page).press_sequentially("!")
    expect(box(page)).to_have_value("Wren!")
    served(done(*[sample(f" {i}") for i in range(3)]))(held[0])
    assert candidates(page) == ["0", "1", "2"]
    page.keyboard.press("Control+z")
    expect(box(page)).to_have_value("Wren")
    assert page.locator("#cards .text").all_text_contents() == ["0", "1", "2"]


def test_a_new_story_leaves_the_old_one_to_undo(page: Page) -> None:
    box(page).fill(OPENING)
    write_on(page)
    button(page, "Pick 1").click()
    before = box(page).input_value()
    button(page, "New").click()
    expect(box(page)).to_have_value("")
    expect(page.locator("#examples")).to_be_visible()
    with page.expect_request("**/generate") as request:
        write_on(page)
    assert "parent" not in asked(request.value)
    assert asked(request.value)["prefix"] == ""
    button(page, "Undo").click()
    expect(box(page)).to_have_value(before)


@pytest.mark.parametrize("keys", [["Backspace", "O"], ["O"]])
def test_what_replaces_a_story_is_not_of_its_family(page: Page, site: str, keys: list[str]) -> None:
    story = requests.get(f"{site}/generate?prefix=Wren&seed=8&length=40", timeout=60).json()
    page.goto(f"/?continue={story['id']}")
    expect(page.get_by_label("The story so far")).to_be_visible()
    box(page).press("Control+a")
    for key in keys:
        page.keyboard.press(key)
    page.keyboard.type("do waits")
    with page.expect_request("**/generate") as request:
        write_on(page)
    assert asked(request.value)["prefix"] == "Odo waits"
    assert "parent" not in asked(request.value)
    for _ in range(3 + len(keys)):
        page.keyboard.press("Control+z")
    expect(box(page)).not_to_have_value(re.compile("Odo"))


def test_a_reload_loses_nothing(page: Page) -> None:
    page.get_by_text("Mood").first.click()
    page.get_by_label("wild").check()
    box(page).fill(OPENING)
    write_on(page)
    button(page, "Pick 1").click()
    text = box(page).input_value()
    texts = write_on(page)
    box(page).press_sequentially(" And then")
    page.reload()
    expect(box(page)).to_have_value(f"{text} And then")
    assert page.locator("#cards .text").all_text_contents() == texts
    expect(page.get_by_label("wild")).to_be_checked(checked=True)
    button(page, "Undo").click()
    button(page, "Undo").click()
    expect(box(page)).to_have_value(text)
    with page.expect_request("**/generate") as request:
        button(page, "Pick 1").click()
        write_on(page)
    assert asked(request.value)["temperature"] == 1.1
    page.get_by_role("link", name="Share 1").click()
    page.go_back()
    expect(box(page)).to_have_value(asked(request.value)["prefix"])
    expect(button(page, "Pick 3")).to_be_visible()


def test_a_later_visit_finds_the_story_again(page: Page) -> None:
    box(page).fill(OPENING)
    other = page.context.new_page()
    other.goto("/")
    expect(box(other)).to_have_value(OPENING)
    box(other).fill("Odo")
    page.reload()  # a tab keeps its own
    expect(box(page)).to_have_value(OPENING)
    other.close()


def test_what_is_typed_before_the_script_comes_counts(page: Page) -> None:
    box(page).fill("Kept")
    held: list[Route] = []
    page.route("**/page.js*", lambda route: held.append(route))  # noqa: PLW0108
    page.goto("/", wait_until="commit")
    box(page).fill("Typed")
    expect(page.locator("#tools")).to_be_hidden()
    held[0].continue_()
    expect(page.locator("#tools")).to_be_visible()
    expect(box(page)).to_have_value("Typed")
    button(page, "Undo").click()
    expect(box(page)).to_have_value("Kept")


@pytest.mark.parametrize(
    "script",
    [
        "Storage.prototype.setItem = () => { throw new DOMException('full') }",
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no') } });"
        "Object.defineProperty(window, 'sessionStorage', { get() { throw new Error('no') } })",
        "localStorage.setItem('draft', '{'); sessionStorage.setItem('draft', '[1]')",
        "localStorage.setItem('draft', '{\"version\": 0}'); sessionStorage.setItem('draft', '0')",
    ],
)
def test_without_storage_it_works_all_the_same(visit: Visit, script: str) -> None:
    page = visit()
    page.add_init_script(script)
    page.goto("/")
    box(page).fill(OPENING)
    assert len(write_on(page)) == 3
    button(page, "Pick 1").click()
    expect(box(page)).to_have_value(re.compile(re.escape(OPENING)))


def test_the_mood_is_what_is_asked_for(page: Page) -> None:
    page.get_by_text("Mood").first.click()
    page.get_by_label("calm").check()
    page.get_by_label("a sentence").check()
    expect(page.locator("#chosen")).to_have_text("calm, a sentence")
    with page.expect_request("**/generate") as request:
        write_on(page)
    assert asked(request.value) == {
        "prefix": "",
        "length": 40,
        "temperature": 0.5,
        "nsamples": 3,
        "include_prefix": False,
        "stream": True,
    }


def test_an_example_is_written_on(page: Page) -> None:
    box(page).fill("")
    page.locator("#examples a").first.click()
    assert len(candidates(page)) == 3
    expect(box(page)).to_have_value(re.compile("^It is raining"))
    expect(page.locator("#examples")).to_be_hidden()


def test_a_story_is_gone_on_with(page: Page, site: str) -> None:
    story = requests.get(f"{site}/generate?prefix=Wren&seed=8&length=40", timeout=60).json()
    box(page).fill("Kept")
    page.goto(f"/?continue={story['id']}")
    expect(box(page)).to_have_value(story["text"])
    with page.expect_request("**/generate") as request:
        write_on(page)
    assert asked(request.value)["parent"] == story["id"]
    box(page).press_sequentially(" Then")
    page.reload()
    expect(box(page)).to_have_value(f"{story['text']} Then")
    for _ in range(2):
        button(page, "Undo").click()
    expect(box(page)).to_have_value("Kept")


def test_a_long_story_is_read_from_its_end(visit: Visit, site: str) -> None:
    (limit,) = re.findall('maxlength="(.*?)"', requests.get(site, timeout=60).text)
    text = "".join(f"Line {i} of many. " for i in range(int(limit) // 15)).strip()
    page = visit()
    page.goto("/")
    box(page).fill(text)
    expect(page.get_by_text("reads the end")).to_be_visible()
    with page.expect_request("**/generate") as request:
        write_on(page)
    prefix = asked(request.value)["prefix"]
    assert int(limit) - 10 < len(prefix) <= int(limit)
    assert text.endswith(f" {prefix}")
    button(page, "Pick 1").click()
    expect(box(page)).to_have_value(re.compile(re.escape(text[:100])))


def test_blanks_at_the_end_are_not_the_models_business(page: Page) -> None:
    page.route("**/generate", served(done(*[sample(" walks.", id="a" * 12, url="/s/x")] * 3)))
    box(page).fill("Wren  ")
    with page.expect_request("**/generate") as request:
        write_on(page)
    assert asked(request.value)["prefix"] == "Wren"
    button(page, "Pick 1").click()
    expect(box(page)).to_have_value("Wren walks.")


def test_markup_is_text(page: Page) -> None:
    copied = [{"text": "a", "words": 12, "source": MARKUP}]
    page.route("**/generate", served(done(*[sample(f" {MARKUP}", copied=copied)] * 3)))
    box(page).fill(MARKUP)
    assert write_on(page) == [MARKUP] * 3
    expect(page.locator(".note").first).to_have_text(f'12 words from "{MARKUP}".')
    button(page, "Pick 1").click()
    expect(box(page)).to_have_value(f"{MARKUP} {MARKUP}")
    assert page.locator("img").count() == 1  # the lantern
    page.reload()
    expect(box(page)).to_have_value(f"{MARKUP} {MARKUP}")


def test_what_is_known_about_each_text_is_told(page: Page) -> None:
    copied = [{"text": "a", "words": 12, "source": "The Lamp"}]
    page.route(
        "**/generate",
        served(
            ("text", {"index": 0, "text": " Copied from somewhere."}),
            ("reset", {"index": 0, "reason": "copied"}),
            ("text", {"index": 0, "text": " Made up."}),
            done(
                sample(" Made up.", copied=[], finish_reason="stop", id="0" * 12, url="/s/0"),
                sample(" Late.", copied=copied, finish_reason="deadline"),
                sample("", finish_reason="filtered"),
            ),
        ),
    )
    assert write_on(page) == ["Made up.", "Late.", ""]
    notes = page.locator(".note").all_text_contents()
    assert notes == [
        "The end. Written new: 0 sentences copied.",
        'Cut short: time ran out. 12 words from "The Lamp".',
        "Cut short: what came next is not shown here.",
    ]
    expect(button(page, "Pick 3")).to_be_hidden()  # nothing to pick
    expect(page.get_by_role("link", name="Share 1")).to_have_attribute("href", "/s/0")
    expect(page.get_by_role("link", name="Share 2")).to_be_hidden()  # it was not stored


def test_a_text_drawn_anew_says_why_while_it_is_written(page: Page) -> None:
    page.route(
        "**/generate",
        served(
            ("text", {"index": 1, "text": " Copied."}),
            ("reset", {"index": 1, "reason": "copied"}),
            ("error", {"error": {"field": None, "message": "the story could not be finished"}}),
        ),
    )
    button(page, "Write on").click()
    expect(page.get_by_role("alert")).to_have_text("The story could not be finished.")
    expect(page.locator("#cards .text").nth(1)).to_have_text("")


def test_errors_are_sentences_and_nothing_is_lost(page: Page) -> None:
    box(page).fill(OPENING)
    page.route(
        "**/generate",
        lambda route: route.fulfill(
            status=400, json={"error": {"field": "prefix", "message": "must be shorter"}}
        ),
    )
    button(page, "Write on").click()
    expect(page.get_by_role("alert")).to_have_text("Your story must be shorter.")
    page.unroute("**/generate")
    page.route("**/generate", served(("text", {"index": 0, "text": " It begins."})))
    button(page, "Write on").click()
    expect(page.get_by_role("alert")).to_have_text("The story broke off, try again.")
    expect(box(page)).to_have_value(OPENING)
    button(page, "Pick 1").click()  # what has come may be used
    expect(box(page)).to_have_value(f"{OPENING} It begins.")
    page.unroute("**/generate")
    assert len(write_on(page)) == 3
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_lost_connection_is_told(visit: Visit) -> None:
    page = visit()
    page.goto("/")
    page.evaluate("() => { window.fetch = () => Promise.reject(new TypeError('Failed to fetch')) }")
    button(page, "Write on").click()
    expect(page.get_by_role("alert")).to_have_text(re.compile("The connection was lost"))


def busy(seconds: int) -> Callable[[Route], None]:
    return lambda route: route.fulfill(
        status=429,
        headers={"Retry-After": str(seconds)},
        json={"error": {"field": None, "message": "too many stories are being written"}},
    )


def test_a_busy_service_is_asked_again(page: Page) -> None:
    page.route("**/generate", busy(1), times=2)
    box(page).fill(OPENING)
    button(page, "Write on").click()
    expect(page.get_by_role("status")).to_have_text("Too many stories are being written.")
    expect(page.locator("#countdown")).to_have_text("Trying again in 1 second.")
    assert len(candidates(page)) == 3
    expect(page.locator("#countdown")).to_be_empty()


def test_a_service_that_stays_busy_is_left_alone(page: Page) -> None:
    requests: list[Request] = []
    page.on("request", lambda request: request.method == "POST" and requests.append(request))
    page.route("**/generate", busy(1))
    button(page, "Write on").click()
    expect(page.get_by_role("alert")).to_have_text(
        "Too many stories are being written.", timeout=20_000
    )
    assert len(requests) == 4
    expect(button(page, "Write on")).to_be_visible()
    page.unroute("**/generate")
    page.route("**/generate", busy(3600))
    button(page, "Write on").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert len(requests) == 5


def test_waiting_can_be_stopped(page: Page) -> None:
    page.route("**/generate", busy(50))
    button(page, "Write on").click()
    expect(page.locator("#countdown")).to_have_text(re.compile("50 seconds"))
    page.keyboard.press("Escape")
    expect(page.get_by_role("status")).to_have_text("Stopped.")
    expect(page.locator("#countdown")).to_be_empty()
    expect(button(page, "Write on")).to_be_visible()


@pytest.fixture(scope="module")
def small(start_uwsgi: StartUwsgi, busy_checkpoint: Path) -> str:
    """The address of a service that writes three stories at once, slowly."""
    return str(start_uwsgi(busy_checkpoint, MAX_BATCH="3", MAX_WAIT="60").url)


def is_idle(url: str) -> bool:
    return bool(requests.get(f"{url}/healthz", timeout=60).json()["running"] == 0)


def test_who_waits_in_line_is_told_where(visit: Visit, small: str) -> None:
    page = visit(small)
    page.goto("/")
    long = {"nsamples": "3", "length": "1000", "end": "token", "stream": "true", "resample": "0"}
    with requests.get(f"{small}/generate", params=long, stream=True, timeout=60) as answer:
        assert next(answer.iter_lines(chunk_size=1)) == b"event: text"
        button(page, "Write on").click()
        expect(page.get_by_role("status")).to_have_text(
            re.compile(r"^You are next in line, about \d+ seconds?\.$")
        )
    assert len(candidates(page)) == 3


def test_stop_ends_the_writing(visit: Visit, small: str) -> None:
    page = visit(small)
    # Long enough to be stopped: the page's own request, made longer on its way.
    page.route(
        "**/generate",
        lambda route: route.continue_(
            post_data={**asked(route.request), "length": 1000, "end": "token", "resample": 0}
        ),
    )
    page.goto("/")
    button(page, "Write on").click()
    expect(page.locator("#cards .text").first).not_to_be_empty()
    button(page, "Stop").click()
    expect(page.get_by_role("status")).to_have_text("Stopped.")
    expect(button(page, "Write on")).to_be_visible()
    wait_until(lambda: is_idle(small))
    button(page, "Pick 1").click()
    expect(box(page)).not_to_have_value("")


def test_on_a_telephone_no_keyboard_hides_the_story(visit: Visit) -> None:
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.goto("/")
    expect(page.get_by_text("Enter writes on")).to_be_hidden()
    box(page).fill(OPENING)
    button(page, "Write on").tap()
    candidates(page)
    button(page, "Pick 3").tap()
    expect(button(page, "Write on")).to_be_focused()
    expect(button(page, "Write on")).to_be_in_viewport()


def test_a_long_story_goes_on_without_javascript(visit: Visit, site: str) -> None:
    (limit,) = re.findall('maxlength="(.*?)"', requests.get(site, timeout=60).text)
    lines = "".join(f"Line {i} of many.\n" for i in range(int(limit)))[: int(limit) - 1]
    ask = {"prefix": lines, "length": 40, "seed": 1}
    story = requests.post(f"{site}/generate", json=ask, timeout=60).json()
    page = visit(java_script_enabled=False)
    page.goto(f"/?continue={story['id']}")
    expect(page.get_by_text("reads the end")).to_be_visible()
    end = box(page).input_value()
    assert len(end) > 10_000  # more than an address may have
    button(page, "Write on").click()
    page.wait_for_url("**/s/*")
    assert page.locator(".tree a").count() == 2
    expect(page.locator(".opening")).to_contain_text(end[-30:].strip().splitlines()[-1])


def test_without_javascript(browser: Browser, visit: Visit) -> None:
    page = visit(java_script_enabled=False)
    page.goto("/")
    page.get_by_label("How does it begin?").fill(OPENING)
    page.get_by_text("Mood").first.click()
    page.get_by_label("a sentence").check()
    page.get_by_role("button", name="Write on").click()
    page.wait_for_url("**/s/*")
    expect(page.locator(".opening")).to_have_text(OPENING)
    first = page.url
    page.get_by_role("button", name="Like").click()
    expect(page.locator("#likes")).to_have_text("1")
    page.get_by_role("button", name="Another version").click()
    page.wait_for_url(lambda url: "/s/" in url and url != first)
    expect(page.locator(".opening")).to_have_text(OPENING)
    assert page.locator(".tree a").count() == 2
    page.get_by_role("link", name="Continue this story").click()
    expect(box(page)).to_have_value(re.compile(re.escape(OPENING)))
    page.get_by_role("button", name="Write on").click()
    page.wait_for_url("**/s/*")
    assert page.locator(".tree a").count() == 3
    page.locator(".tree a").first.click()
    page.wait_for_url(first)
