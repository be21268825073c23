"""The share card."""

from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from app import card as module
from app.card import card


def picture(title: str, text: str) -> Image.Image:
    image = Image.open(BytesIO(card(title, text)))
    assert (image.format, image.size) == ("PNG", (1200, 630))
    return image.convert("RGB")


def ink(text: str) -> tuple[int, int, int, int]:
    """The box around what a text draws."""
    return ImageChops.difference(picture("", text), picture("", "")).getbbox() or (0, 0, 0, 0)


@given(st.text(max_size=300), st.text(max_size=300))
@settings(max_examples=30)
def test_whatever_the_text_there_is_a_picture(title: str, text: str) -> None:
    picture(title, text)


@pytest.mark.parametrize("text", ["Wren runs.", "Wren runs home. " * 60, "W" * 1000, "i " * 500])
def test_nothing_is_cut_off(text: str) -> None:
    left, top, right, bottom = ink(text)
    assert left >= 80 and top >= 40
    assert 90 < right <= 1120
    assert top < bottom <= 500  # above the title


def test_a_short_text_is_large() -> None:
    heights = [bottom - top for _, top, _, bottom in (ink("Wren"), ink("Wren " * 20))]
    assert heights[0] > 40
    assert heights[1] > 2 * heights[0]


@pytest.mark.parametrize("font", [module._FONT, "no-such-font.ttf"])
def test_what_a_font_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch, font: str) -> None:
    monkeypatch.setattr(module, "_FONT", font)
    caches = (module._font, module._has, card)
    for cache in caches:
        cache.cache_clear()
    assert ink("\U0010fffd \u65e5\u672c \U0001f389") == (0, 0, 0, 0)
    assert ink("Pok\u00e9mon") != ink("Pokmon")  # at least an e
    assert card("T", "Wren \U0001f389 runs") == card("T", "Wren runs")
    for cache in caches:
        cache.cache_clear()
