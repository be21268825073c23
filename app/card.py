"""The picture beside a shared link: the beginning of a story on paper, under a lantern's light."""

from collections.abc import Iterator
from functools import lru_cache
from io import BytesIO
from unicodedata import normalize

from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT = 1200, 630  # what social networks ask for
_MARGIN = 90
_TEXT_TOP, _TEXT_HEIGHT = 72, 420
_SIZES = (72, 60, 50, 42)  # of the text, in pixels: the largest that holds it all, or the last
_LEADING = 1.4
_TITLE_SIZE = 34
# A serif with most of Europe's letters where the machine has it (Debian's fonts-dejavu-core); else
# Pillow's own font, which has English ones.
_FONT = "DejaVuSerif.ttf"
_NO_CHARACTER = "\U0010ffff"

_PAPER, _INK, _ACCENT, _LAMP, _FLAME = "#faf6ee", "#27221b", "#9a4410", "#f3b562", "#fff4d6"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=64)
def card(title: str, text: str) -> bytes:
    """A PNG of 1200 x 630 pixels. What does not fit ends in an ellipsis; what the font lacks is
    drawn without its accents, or left out."""
    image = _background().copy()
    draw = ImageDraw.Draw(image)
    size, lines = _set(_drawable(text))
    for i, line in enumerate(lines):
        position = (_MARGIN, _TEXT_TOP + i * size * _LEADING)
        draw.text(position, line, fill=_INK, font=_font(size))
    name = _shortened(_drawable(title), _font(_TITLE_SIZE), _WIDTH - 2 * _MARGIN - 70)
    position = (_MARGIN + 70, _HEIGHT - _MARGIN)
    draw.text(position, name, fill=_ACCENT, font=_font(_TITLE_SIZE), anchor="lm")
    file = BytesIO()
    image.save(file, "png")
    return file.getvalue()


@lru_cache
def _font(size: int) -> Font:
    try:
        return ImageFont.truetype(_FONT, size)
    except OSError:
        return ImageFont.load_default(size)


@lru_cache(maxsize=4096)
def _has(character: str) -> bool:
    font = _font(_TITLE_SIZE)
    missing = bytes(font.getmask(_NO_CHARACTER))
    return character.isspace() or bytes(font.getmask(character)) != missing


def _drawable(text: str) -> str:
    drawable = (
        character if _has(character) else "".join(filter(_has, normalize("NFKD", character))) or " "
        for character in text
    )
    return " ".join("".join(drawable).split())


def _set(text: str) -> tuple[int, list[str]]:
    """The size that suits the text, and its lines."""
    width = _WIDTH - 2 * _MARGIN
    for size in _SIZES:
        most = int(_TEXT_HEIGHT / (size * _LEADING))
        lines = list(_wrapped(text, _font(size), width))
        if len(lines) <= most:
            return size, lines
    last = _shortened(" ".join(lines[most - 1 :]), _font(size), width)
    return size, [*lines[: most - 1], last]


def _wrapped(text: str, font: Font, width: float) -> Iterator[str]:
    """Lines of whole words; a word too long for a line is broken."""
    while font.getlength(text) > width:
        fitting = _fitting(text, font, width)
        cut = text.rfind(" ", 0, fitting + 1)
        yield text[: cut if cut > 0 else fitting]
        text = text[cut if cut > 0 else fitting :].lstrip()
    if text:
        yield text


def _shortened(text: str, font: Font, width: float) -> str:
    """One line, with an ellipsis where the text is longer."""
    if font.getlength(text) <= width:
        return text
    return text[: _fitting(text, font, width - font.getlength("…"))].rstrip(" .,;:-") + "…"


def _fitting(text: str, font: Font, width: float) -> int:
    """How many of the text's characters are no wider; one at least."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle]) <= width:
            low = middle
        else:
            high = middle - 1
    return low


@lru_cache(maxsize=1)
def _background() -> Image.Image:
    """Paper with the glow and the lantern of static/icon.svg."""
    image = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    # The gradient is 180 at the middle of its edges.
    glow = Image.radial_gradient("L").point(lambda level: max(0, 180 - level) // 2)
    glow = glow.resize((1600, 1100))
    image.paste(_LAMP, (_MARGIN + 24 - 800, _HEIGHT - _MARGIN - 550), glow)
    lantern = _lantern().resize((64, 64), Image.Resampling.LANCZOS)
    image.paste(lantern, (_MARGIN - 8, _HEIGHT - _MARGIN - 34), lantern)
    return image


def _lantern() -> Image.Image:
    """Eight times as large as it is shown: Pillow's shapes have hard edges."""
    scale = 8
    image = Image.new("RGBA", (64 * scale, 64 * scale))
    draw = ImageDraw.Draw(image)

    def box(*corners: float) -> list[float]:
        return [scale * corner for corner in corners]

    draw.arc(box(20.25, 4.25, 43.75, 27.75), 180, 360, _ACCENT, width=int(3.5 * scale))
    draw.polygon(box(18, 18, 46, 18, 50, 26, 14, 26), _ACCENT)
    draw.polygon(box(18, 26, 46, 26, 44, 50, 20, 50), _LAMP)
    draw.ellipse(box(26, 36, 38, 48), _FLAME)
    draw.polygon(box(32, 30, 37, 38.5, 27, 38.5), _FLAME)
    draw.rounded_rectangle(box(15, 50, 49, 58), 3 * scale, _ACCENT)
    return image
