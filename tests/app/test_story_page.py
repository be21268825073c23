"""A story's page in a real Chromium."""

from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Page, expect

from .conftest import Visit


@pytest.fixture
def story(site: str) -> str:
    """The address of a story's page."""
    answer = requests.get(f"{site}/generate?prefix=Wren&seed=3&length=40", timeout=60).json()
    return str(answer["url"])


@pytest.fixture
def page(visit: Visit, story: str) -> Page:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.goto(story)
    return page


def test_a_like_is_counted_without_leaving_the_page(page: Page) -> None:
    before = int(page.locator("#likes").inner_text())
    page.evaluate("window.stayed = true")
    for _ in range(2):  # and once for each client
        page.get_by_role("button", name="Like").click()
        expect(page.get_by_role("status")).to_have_text("Liked.")
        expect(page.locator("#likes")).to_have_text(str(before + 1))
    assert page.evaluate("window.stayed")
    page.reload()
    expect(page.locator("#likes")).to_have_text(str(before + 1))


def test_a_like_that_fails_is_told(page: Page) -> None:
    page.route("**/like", lambda route: route.fulfill(status=429, json={}))
    page.get_by_role("button", name="Like").click()
    expect(page.get_by_role("status")).to_have_text(
        "The like did not arrive. Try again in a moment."
    )


def test_the_link_is_copied(page: Page, story: str, site: str) -> None:
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("status")).to_have_text("Link copied.")
    assert page.evaluate("navigator.clipboard.readText()") == f"{site}{story}"


def test_the_story_goes_on(page: Page) -> None:
    text = page.locator(".text").inner_text()
    page.get_by_role("link", name="Continue this story").click()
    expect(page.locator("textarea")).not_to_have_value("")
    shown = page.locator("textarea").input_value()
    assert shown.split() == text.split()


def test_the_picture_is_there(page: Page, site: str) -> None:
    address = page.locator("[property='og:image']").get_attribute("content")
    answer = requests.get(site + urlsplit(address).path, timeout=60)
    assert answer.headers["Content-Type"] == "image/png"
