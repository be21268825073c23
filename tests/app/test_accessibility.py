"""The pages for everybody: WCAG 2.2 AA, every theme and width, nothing but a keyboard."""

from collections.abc import Callable
from typing import Any

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from .conftest import Visit
from .test_cowriting import OPENING, busy, button, candidates, done, sample, served, write_on


def empty(page: Page, site: str) -> None:
    page.goto("/")


def mood(page: Page, site: str) -> None:
    page.goto("/")
    page.get_by_text("Mood").first.click()


def three(page: Page, site: str) -> None:
    page.goto("/")
    page.locator("textarea").fill(OPENING)
    write_on(page)


def noted(page: Page, site: str) -> None:
    copied = [{"text": "a", "words": 12, "source": "The Lamp " + "of W" * 30}]
    page.route("**/generate", served(done(*[sample("W" * 400, copied=copied, url="/s/x")] * 3)))
    page.goto("/")
    write_on(page)


def failed(page: Page, site: str) -> None:
    page.goto("/")
    page.route("**/generate", lambda route: route.fulfill(status=413, json={}))
    button(page, "Write on").click()
    expect(page.get_by_role("alert")).to_be_visible()


def waiting(page: Page, site: str) -> None:
    page.goto("/")
    page.route("**/generate", busy(50))
    button(page, "Write on").click()
    expect(page.locator("#countdown")).not_to_be_empty()


def refused(page: Page, site: str) -> None:
    page.goto("/story?prefix=Wren&seed=x")


def story(page: Page, site: str) -> None:
    ask: dict[str, Any] = {"prefix": "Wren", "length": 60, "seed": 1, "nsamples": 3}
    first = requests.post(f"{site}/generate", json=ask, timeout=60).json()
    for parent in (first["id"], first["samples"][1]["id"], first["id"]):
        ask |= {"parent": parent, "prefix": ask["prefix"] + " and"}
        requests.post(f"{site}/generate", json=ask, timeout=60)
    requests.post(f"{site}/stories/{first['id']}/like", timeout=60)
    page.goto(first["url"])


def nowhere(page: Page, site: str) -> None:
    page.goto("/nowhere")


def docs(page: Page, site: str) -> None:
    page.goto("/docs")
    page.locator("details").evaluate_all("all => all.forEach((one) => (one.open = true))")


STATES = [empty, mood, three, noted, failed, waiting, refused, story, nowhere, docs]
State = Callable[[Page, str], None]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing(visit: Visit, site: str, state: State, scheme: str) -> None:
    viewport = {"width": 390, "height": 844}
    page = visit(color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
    state(page, site)
    found = Axe().run(page, options={"rules": {"target-size": {"enabled": True}}})
    assert not found.violations_count, found.generate_report()


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("state", STATES)
def test_nothing_is_cut_off(visit: Visit, site: str, state: State, width: int) -> None:
    page = visit(viewport={"width": width, "height": 800})
    state(page, site)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    hidden = page.locator("textarea").evaluate_all(
        "boxes => boxes.filter((box) => box.scrollHeight > box.clientHeight).length"
    )
    assert hidden == 0


@pytest.mark.parametrize("state", [three, mood, story, refused])
def test_what_is_to_be_pressed_is_large_enough(visit: Visit, site: str, state: State) -> None:
    page = visit(viewport={"width": 320, "height": 800})
    state(page, site)
    small = page.evaluate(
        """() => [...document.querySelectorAll("a, button, summary, input, textarea")]
            .filter((node) => node.checkVisibility())
            .map((node) => [node.outerHTML, node.getBoundingClientRect()])
            .filter(([_, box]) => box.width < 24 || box.height < 24)"""
    )
    assert small == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", [three, mood, story])
def test_the_focus_is_seen_wherever_it_goes(
    visit: Visit, site: str, state: State, scheme: str
) -> None:
    page = visit(color_scheme=scheme, viewport={"width": 1280, "height": 800})
    state(page, site)
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    visited: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        name = page.evaluate(
            """() => {
                const node = document.activeElement;
                if (node === document.body) return "";
                const { tagName, id, name, ariaLabel, textContent } = node;
                return [tagName, id, name, ariaLabel, textContent].join();
            }"""
        )
        if not name or name in visited:
            break
        visited.append(name)
        with_focus = page.screenshot(animations="disabled")
        page.evaluate("window.last = document.activeElement; window.last.blur()")
        without = page.screenshot(animations="disabled")
        assert with_focus != without, name
        page.evaluate("window.last.focus({ preventScroll: true })")
    assert len(visited) >= 5


def test_the_focus_goes_in_reading_order(visit: Visit, site: str) -> None:
    page = visit(viewport={"width": 1280, "height": 800})
    three(page, site)
    expect(page.locator("#candidates")).to_be_focused()
    names = []
    for _ in range(9):
        page.keyboard.press("Tab")
        names.append(
            page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent")
        )
    assert names == [
        name for i in (1, 2, 3) for name in (f"Pick {i}", f"Another for {i}", f"Share {i}")
    ]


def test_keys_without_a_modifier_count_only_among_the_candidates(visit: Visit, site: str) -> None:
    page = visit()
    three(page, site)
    page.locator("summary").focus()
    page.keyboard.press("1")
    assert len(candidates(page)) == 3
    page.locator("#candidates").focus()
    page.keyboard.press("1")
    expect(page.locator("#candidates")).to_be_hidden()


def test_who_wants_no_motion_sees_none(visit: Visit, site: str) -> None:
    page = visit(reduced_motion="reduce")
    three(page, site)
    page.route("**/generate", lambda _: None)  # never answered: it goes on writing
    button(page, "Write on").click()
    expect(page.locator("[aria-busy]")).to_have_count(3)
    assert page.evaluate("document.getAnimations().length") == 0


def test_what_happens_is_said_politely(visit: Visit, site: str) -> None:
    page = visit()
    three(page, site)
    live = page.locator("[role=status], [aria-live]")
    assert live.count() == 1
    expect(live).to_have_text("Three ways on are written. Pick one.")
    assert page.locator("#countdown").get_attribute("aria-hidden") == "true"
