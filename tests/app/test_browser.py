"""The page in a real Chromium, with and without JavaScript."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from .conftest import Server, StartUwsgi, wait_until

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PREFIX = "Wren & Fizzlet <walk> along"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if not executable:
        pytest.skip("needs Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(start_uwsgi: StartUwsgi, tiny_checkpoint: Path) -> Server:
    return start_uwsgi(tiny_checkpoint)


@pytest.fixture
def context(browser: Browser, server: Server) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=server.url, viewport={"width": 390, "height": 844})
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, server: Server) -> Iterator[Page]:
    """A page that fails the test on any error, any refusal by its policy and any foreign host."""
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    page.on(
        "request",
        lambda request: request.url.startswith(str(server.url)) or complaints.append(request.url),
    )
    yield page
    assert not [words for words in complaints if "status of 400" not in words]


def seed_of(page: Page) -> str:
    return parse_qs(urlsplit(page.url).query)["seed"][0]


def story_of(server: Server, page: Page) -> str:
    query = urlsplit(page.url).query + "&include_prefix=false"
    text: str = requests.get(f"{server.url}/generate?{query}", timeout=60).json()["text"]
    return re.sub(r"\n+", "\n\n", text)


def shown(page: Page) -> str:
    return str(page.locator("#written").evaluate("node => node.textContent"))


def test_a_story_is_written_on_the_page(page: Page, server: Server) -> None:
    page.goto("/")
    page.get_by_label("How does it begin?").fill(PREFIX)
    page.get_by_role("button", name="Write the story").click()
    expect(page.locator("#after")).to_be_visible()
    expect(page.locator("#begun")).to_have_text(PREFIX)
    expect(page.locator("#examples")).to_be_hidden()
    expect(page.get_by_role("status")).to_have_text("The story is finished.")
    assert shown(page) == story_of(server, page)
    assert seed_of(page) in page.locator("#facts").inner_text()
    first = page.url
    page.reload()
    assert page.url == first
    assert shown(page) == story_of(server, page)


def test_the_keyboard_is_enough(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("Wren")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("runs")
    page.keyboard.press("Enter")
    expect(page.locator("#after")).to_be_visible()
    assert parse_qs(urlsplit(page.url).query)["prefix"] == ["Wren\nruns"]


def test_try_again_writes_another(page: Page, server: Server) -> None:
    page.goto("/story?prefix=Wren&length=30&seed=1")
    page.get_by_role("link", name="Try again").click()
    page.wait_for_url(lambda url: "seed=1&" not in f"{url}&")
    expect(page.locator("#after")).to_be_visible()
    query = parse_qs(urlsplit(page.url).query)
    assert (query["prefix"], query["length"]) == (["Wren"], ["30"])
    assert shown(page) == story_of(server, page)


def test_an_example_is_written_on(page: Page) -> None:
    page.goto("/")
    page.locator("#examples a").first.click()
    expect(page.locator("#after")).to_be_visible()
    assert page.locator("#begun").inner_text() == page.locator("#prefix").input_value()


def test_the_link_is_copied(context: BrowserContext, page: Page) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/story?prefix=Wren&length=30")
    page.get_by_role("link", name="Copy link").click()
    expect(page.get_by_role("status")).to_have_text("Link copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    before = shown(page)
    page.goto(copied)
    assert shown(page) == before


def test_an_error_is_a_sentence(page: Page) -> None:
    page.goto("/")
    page.locator("#prefix").evaluate("box => box.removeAttribute('maxlength')")
    page.locator("#prefix").fill("a" * 5000)
    page.get_by_role("button", name="Write the story").click()
    expect(page.get_by_role("alert")).to_have_text(
        "Your opening should have at most 4000 characters."
    )
    expect(page.locator("#story")).to_be_hidden()
    page.locator("#prefix").fill("Wren")
    page.get_by_role("button", name="Write the story").click()
    expect(page.locator("#after")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_stop_ends_the_writing(
    browser: Browser, start_uwsgi: StartUwsgi, busy_checkpoint: Path
) -> None:
    server = start_uwsgi(busy_checkpoint)
    with browser.new_context(base_url=server.url) as context:
        page = context.new_page()
        # Long enough to be stopped: the page's own requests, made longer on their way.
        page.route(
            "**/generate",
            lambda route: route.continue_(
                post_data=f"{route.request.post_data}&length=1000&nsamples=16&end=token"
            ),
        )
        page.goto("/")
        page.get_by_role("button", name="Write the story").click()
        expect(page.locator("#written")).not_to_be_empty()
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("status")).to_have_text("Stopped.")
        expect(page.get_by_role("button", name="Write the story")).to_be_visible()
        expect(page.locator("#written")).not_to_be_empty()
        wait_until(lambda: requests.get(f"{server.url}/healthz", timeout=60).json()["running"] == 0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_nothing_is_cut_off(browser: Browser, server: Server, scheme: str, width: int) -> None:
    viewport = {"width": width, "height": 800}
    with browser.new_context(
        base_url=server.url,
        viewport=viewport,
        color_scheme=scheme,  # type: ignore[arg-type]
    ) as context:
        page = context.new_page()
        for path in ("/", "/story?prefix=" + "W" * 200 + "&seed=1"):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_javascript(browser: Browser, server: Server) -> None:
    with browser.new_context(base_url=server.url, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto("/")
        page.get_by_label("How does it begin?").fill(PREFIX)
        page.get_by_role("button", name="Write the story").click()
        expect(page.locator("#begun")).to_have_text(PREFIX)
        expect(page.locator("#written")).not_to_be_empty()
        page.get_by_role("link", name="Try again").click()
        expect(page.locator("#begun")).to_have_text(PREFIX)
        words = page.locator("#written").inner_text()
        page.get_by_role("link", name="Link to this story").click()
        expect(page.locator("#written")).to_have_text(words, use_inner_text=True)
        assert "seed=" in page.url
