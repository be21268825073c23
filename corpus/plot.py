"""The plot of an episode, out of a wiki page as HTML or as wikitext, and nothing else.

Both readers walk the page once in document order, so no text can come twice, and write the
sections of interest as one string in which a blank line ends a paragraph and ``_BREAK`` a line
within one. What a reader of the page would not call the plot is left out: subheadings, pictures
and captions, boxes, reference marks, edit links, scripts.
"""

import re
from collections.abc import Iterable, Sequence

import mwparserfromhell
from bs4 import BeautifulSoup
from bs4.element import NavigableString, PreformattedString, Tag
from mwparserfromhell import nodes
from mwparserfromhell.wikicode import Wikicode

# In order of preference: a page that has both keeps a teaser under "Synopsis".
HEADINGS = ("Plot", "Synopsis")

_PARAGRAPH = "\n\n"
_BREAK = "\v"
_BLANK = " \t\r\n\f"

# Pointers to other pages, which both markups may hide in an indented paragraph.
_POINTER = re.compile(
    r"(?:Main articles?|See also|Further information): |For [^.]*, (?:please )?see "
)


class _Sections:
    """Collects the text under some headings as a page is walked."""

    def __init__(self, headings: Sequence[str]) -> None:
        self._headings = [_key(heading) for heading in headings]
        self._text: dict[str, list[str]] = {}
        self._name = ""
        self._level = 0

    @property
    def inside(self) -> bool:
        """Whether what comes next belongs to a section of interest."""
        return bool(self._name)

    def heading(self, level: int, title: str) -> None:
        name = _key(title)
        if name in self._headings:
            self._name, self._level = name, level
        elif level <= self._level:
            self._name, self._level = "", 0
        self.text(_PARAGRAPH)

    def text(self, text: str) -> None:
        if self.inside:
            self._text.setdefault(self._name, []).append(text)

    def chosen(self) -> str:
        for name in self._headings:
            if name in self._text:
                return "".join(self._text[name])
        return ""


def _key(heading: str) -> str:
    """Headings are compared without regard to case and blanks."""
    return " ".join(heading.replace("_", " ").split()).casefold()


def _layout(text: str) -> str:
    """Join paragraphs by one blank line, with single spaces between words."""
    paragraphs = []
    # Two line breaks in a row look like the end of a paragraph, and are.
    for block in re.split(rf"\n[{_BLANK}]*\n|{_BREAK}[{_BLANK}]*{_BREAK}", text):
        lines = (re.sub(rf"[{_BLANK}]+", " ", line).strip() for line in block.split(_BREAK))
        paragraph = "\n".join(line for line in lines if line)
        if paragraph and not _POINTER.match(paragraph):
            paragraphs.append(paragraph)
    return "\n\n".join(paragraphs)


_BLOCK_TAGS = frozenset(
    {"blockquote", "center", "dd", "div", "dl", "dt", "hr", "li", "ol", "p", "pre", "section", "ul"}
)

# --- HTML ---------------------------------------------------------------------------------

# The roots of a page's text, by era, and the fallback for a fragment.
_ROOTS = (".mw-parser-output", "#mw-content-text", "#bodyContent", "body")

# Never prose. A div inside a section is a thumb, a spoiler box, an ad or a note: prose stands
# in p, li, dd and blockquote.
_FURNITURE = frozenset(
    {"aside", "div", "figure", "noscript", "rp", "rt", "script", "style", "table"}
)
_FURNITURE_CLASSES = frozenset(
    {"reference", "mw-editsection", "noprint", "hatnote", "toc", "gallery", "mw-empty-elt", "error"}
)
# The divs that hold headings (MediaWiki 1.42) or whole sections (the mobile skin).
_TRANSPARENT = frozenset({"mw-heading", "collapsible-block", "mf-collapsible-content"})


def plot_from_html(page: BeautifulSoup, headings: Sequence[str] = HEADINGS) -> str:
    """The plot of a saved page of any era, "" if it has none.

    It is what stands under the first of the headings that the page has. Paragraphs are separated
    by one blank line.
    """
    sections = _Sections(headings)
    root = next((found for css in _ROOTS if (found := page.select_one(css))), None)
    _walk_html(root or page, sections)
    return _layout(sections.chosen())


def _walk_html(element: Tag, sections: _Sections) -> None:
    for child in element.children:
        if isinstance(child, Tag):
            if level := re.fullmatch(r"h([1-6])", child.name):
                sections.heading(int(level[1]), _heading_title(child))
            elif child.name == "br":
                sections.text(_BREAK)
            elif not _is_furniture(child, sections.inside):
                edge = _PARAGRAPH if child.name in _BLOCK_TAGS else ""
                sections.text(edge)
                _walk_html(child, sections)
                sections.text(edge)
        elif isinstance(child, NavigableString) and not isinstance(child, PreformattedString):
            # PreformattedString: comments and their like.
            sections.text(re.sub(rf"[{_BLANK}{_BREAK}]+", " ", child))


def _heading_title(heading: Tag) -> str:
    headline = heading.select_one(".mw-headline")
    return (headline or heading).get_text()


def _is_furniture(element: Tag, in_section: bool) -> bool:
    classes = frozenset(element.get_attribute_list("class"))
    if element.name == "div" and (not in_section or classes & _TRANSPARENT):
        return "toc" in classes
    return (
        element.name in _FURNITURE
        or bool(classes & _FURNITURE_CLASSES)
        or "display:none" in str(element.get("style", "")).replace(" ", "")
        # {{tt|*|note}}: a footnote mark whose note is a tooltip.
        or ("explain" in classes and element.get_text().strip() == "*")
    )


def title_from_html(page: BeautifulSoup) -> str | None:
    """The episode's title, which opens the lead of its page in bold; None if nothing does."""
    for css in _ROOTS:
        if bold := page.select_one(f"{css} > p > b"):
            return " ".join(bold.get_text().split()) or None
    return None


# --- wikitext -----------------------------------------------------------------------------

_SKIPPED_TAGS = frozenset(
    {"div", "gallery", "math", "ref", "references", "rp", "rt", "script", "style", "table"}
)
_ITEM_TAGS = frozenset({"li", "dd", "dt"})
# Pictures and categories, in the languages of the larger wikis.
_NOT_SHOWN = re.compile(
    r"(?:file|image|media|category|datei|bild|kategorie|fichier|catégorie|archivo|imagen|categoría"
    r"|immagine|categoria|ficheiro|imagem|bestand|afbeelding|categorie|plik|grafika|kategoria"
    r"|файл|изображение|категория|ファイル|画像|文件|分类|파일|분류)\s*:",
    re.IGNORECASE,
)
_LANGUAGE_LINK = re.compile(r"[a-z]{2,3}(?:-[a-z]+)?:\S")

# What templates display. The rule for links, {{p|Pikachu}}, {{TP|Misty|Togepi}},
# {{wp|Puss in Boots (fairy tale)|Puss in Boots}}, and for {{lang|fr|mot}} is the last argument;
# without arguments, {{Ash}}, it is the name. The names here have no capital at their beginning.
_SHOW_FIRST_ARGUMENT = frozenset(
    {"tt", "explain", "ruby", "OBP", "gdis"}  # Bulbapedia
    | {"abbr", "abbrlink", "hover title", "ill", "interlanguage link", "nihongo", "nihongo krt"}
    | {"sic", "tooltip", "visible anchor", "vanchor", "blockquote", "quotation"}
)
_FORMATS = {"type": "{}-type", "rt": "Route {}", "ball": "{} Ball", "badge": "{} Badge"}
_DISPLAYS = {"ashfr": "his friends", "TRT": "Team Rocket", "MTR": "Meowth", "!": "|", "'": "'"}
_DISPLAYS |= {"'s": "'s", "-'": "'", "=": "=", "nbsp": " ", "spaces": " "}
_DISPLAYS |= dict.fromkeys(("ndash", "en dash"), "\N{EN DASH}")
_DISPLAYS |= dict.fromkeys(("snd", "spnd", "spaced ndash", "spaced en dash"), " \N{EN DASH} ")
_DISPLAYS |= dict.fromkeys(("mdash", "em dash", "emdash"), "\N{EM DASH}")
_MEASURES = frozenset({"convert", "cvt"})
_QUOTATIONS = frozenset({"blockquote", "quotation"})
_NOTHING = frozenset(
    {"-", "clear", "clr", "fact", "ref", "sup", "incomplete", "spoiler", "spoilers", "endspoiler"}
    # References and notes (Wikipedia and its copies).
    | {"cn", "efn", "efn-la", "efn-ua", "refn", "r", "rp", "sfn", "sfnp", "sfnm", "harv", "harvnb"}
    | {"harvtxt", "harvp", "note", "notetag", "citation", "reflist", "notelist", "anchor", "main"}
    | {"see also", "further", "details", "who", "who?", "when", "where", "which", "why"}
    | {"clarify", "dubious", "verify source", "original research inline", "tone inline", "by whom"}
    # Fandom's pieces of layout and decoration.
    | {"quote", "cquote", "quotebox", "quote box", "dialogue", "dialog", "image", "scroll box"}
)
_KNOWN = (_SHOW_FIRST_ARGUMENT, _FORMATS, _DISPLAYS, _MEASURES, _NOTHING)
# Infoboxes, references, requests for them, and the parser's own functions: {{#if:...}},
# {{DISPLAYTITLE:...}}.
_NOTHING_LIKE = re.compile(r"(?:infobox|cite|citation)\b|.*(?:\binfobox|\bneeded)$|[^:]*:|#", re.I)

# Marks in the text under way, of characters that no wiki stores. A template alone on its line is
# a box (spoiler warning, maintenance, "main article"); the item of a list ends with its line.
_TEMPLATE_START, _TEMPLATE_END, _ITEM = "\x0e", "\x0f", "\x10"
_MARKS = re.compile(f"[{_TEMPLATE_START}{_TEMPLATE_END}{_ITEM}]")
_BOX = re.compile(
    rf"^[ \t]*(?:{_TEMPLATE_START}[^{_TEMPLATE_END}]*{_TEMPLATE_END}[ \t]*)+$", re.MULTILINE
)


# What is left of a table that a template opened.
_TABLE_LINE = re.compile(r"^[ \t]*(?:\{\||\|\}|\|-).*$", re.MULTILINE)


def plot_from_wikitext(wikitext: str, headings: Sequence[str] = HEADINGS) -> str:
    """The plot of a page's source, "" if it has none; see ``plot_from_html``."""
    wikitext = _MARKS.sub("", wikitext.replace(_BREAK, ""))
    sections = _Sections(headings)
    for node in mwparserfromhell.parse(wikitext).nodes:
        if isinstance(node, nodes.Heading):
            sections.heading(node.level, _inline(node.title))
        elif sections.inside:
            sections.text(_render(node))
    text = _TABLE_LINE.sub("", _BOX.sub("", sections.chosen()))
    text = re.sub(rf"({_ITEM}[^\n]*)\n", rf"\1{_PARAGRAPH}", text)
    return _layout(_MARKS.sub("", text))


def _render(node: nodes.Node) -> str:
    match node:
        case nodes.Text():
            # Italics and bold that the parser found no partner for.
            return re.sub(r"'{2,}", "", node.value)
        case nodes.HTMLEntity():
            return str(node.normalize())
        case nodes.Wikilink() | nodes.ExternalLink():
            return _render_link(node)
        case nodes.Tag():
            return _render_tag(node)
        case nodes.Template():
            return _render_template(node)
        case _:
            return ""  # comments, arguments, subheadings inside something


def _render_all(children: Iterable[nodes.Node]) -> str:
    return "".join(map(_render, children))


def _inline(code: Wikicode) -> str:
    return _MARKS.sub("", _render_all(code.nodes))


def _render_link(link: nodes.Wikilink | nodes.ExternalLink) -> str:
    if isinstance(link, nodes.ExternalLink):
        # Without a title it displays as a number in brackets.
        return _render_all(link.title.nodes) if link.title else ""
    target = _inline(link.title).strip()
    if _NOT_SHOWN.match(target):
        return ""
    if link.text:
        return _render_all(link.text.nodes)
    return "" if _LANGUAGE_LINK.match(target) else target.removeprefix(":")


def _render_tag(tag: nodes.Tag) -> str:
    name = str(tag.tag).strip().lower()
    if name == "br":
        return _BREAK
    if name in _SKIPPED_TAGS:
        return ""
    if tag.wiki_markup and name in _ITEM_TAGS:
        return _PARAGRAPH + _ITEM
    contents = _render_all(tag.contents.nodes) if tag.contents else ""
    return f"{_PARAGRAPH}{contents}{_PARAGRAPH}" if name in _BLOCK_TAGS else contents


def _render_template(template: nodes.Template) -> str:
    name = _template_name(template)
    text = _template_text(template, name)
    if name in _QUOTATIONS:
        return f"{_PARAGRAPH}{text}{_PARAGRAPH}"
    return f"{_TEMPLATE_START}{text}{_TEMPLATE_END}"


def _template_text(template: nodes.Template, name: str) -> str:
    # {{efn|1=a=b}} is how to write an argument that has a "=" in it.
    arguments = [
        _inline(p.value).strip()
        for p in template.params
        if not p.showkey or str(p.name).strip().isdecimal()
    ]
    if name in _NOTHING or _NOTHING_LIKE.match(name):
        return ""
    if not arguments:
        # {{clarify|date=May 2010}}: no abbreviation of a name takes such arguments.
        return "" if template.params else _DISPLAYS.get(name, name)
    if name in _FORMATS:
        return _FORMATS[name].format(arguments[0])
    if name in _MEASURES:
        return " ".join(arguments[:2])
    shown = arguments[0] if name in _SHOW_FIRST_ARGUMENT else arguments[-1]
    return "" if shown == "*" else shown  # {{tt|*|note}} is a footnote mark


def _template_name(template: nodes.Template) -> str:
    """Blanks and underscores are the same in a name, and its first letter has no case."""
    name = " ".join(_inline(template.name).replace("_", " ").split())
    lower = name[:1].lower() + name[1:]
    return next((n for n in (name, lower, lower.lower()) if _is_known(n)), name)


def _is_known(name: str) -> bool:
    return any(name in known for known in _KNOWN)


def template_argument(wikitext: str, template: str, argument: str) -> str | None:
    """A named argument of the first such template, as plain text; None if there is none.

    >>> template_argument("{{EpicodePrevNext|nextcode=EP002}}", "EpicodePrevNext", "nextcode")
    'EP002'
    """
    for found in mwparserfromhell.parse(wikitext).ifilter_templates():
        if found.name.matches(template) and found.has(argument):
            return _inline(found.get(argument).value).strip() or None
    return None


def title_from_wikitext(wikitext: str) -> str | None:
    """The title that opens the lead of a page in bold; None if nothing does."""
    for node in mwparserfromhell.parse(wikitext).nodes:
        if isinstance(node, nodes.Heading):
            return None
        if isinstance(node, nodes.Tag) and str(node.tag) == "b" and node.contents:
            return " ".join(_inline(node.contents).split()) or None
    return None
