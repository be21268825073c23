"""The pages: the co-writing form, and a page for each story, whole without JavaScript."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import (
    Blueprint,
    Response,
    abort,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)

from app.api import answer_ancestor, begin, is_for_api, is_served, read_story, stored_story
from app.api import like as count_like
from app.card import card
from app.errors import EXPECTED, add_headers, explain
from app.library import Relative, excerpt
from app.parameters import body_parameters, query_parameters, validate
from app.schemas import ParameterError, StoryRequest
from app.service import service

blueprint = Blueprint("pages", __name__)

NAMES = [
    name
    for name in StoryRequest.model_fields
    if name not in ("include_prefix", "nsamples", "stream")
]
"""What a story's address may say; other names, which shared links collect, are passed over."""

_MOODS = ((0.5, "calm"), (0.8, "playful"), (1.1, "wild"))  # temperature
_LENGTHS = ((40, "a sentence"), (120, "a paragraph"), (400, "a page"))  # tokens
_TITLE = 70  # characters
_SUMMARY = 200


@blueprint.get("/")
def index() -> Response:
    """The form; or an answer of the API to a request with its parameters.

    `continue` names a story to go on with: its end, as far as the service reads.
    """
    if is_for_api():
        return answer_ancestor(query_parameters())
    if (id := request.args.get("continue")) is not None:
        story = stored_story(id)
        whole = story.prefix + story.text
        text = tail(whole, service().settings.max_prefix)
        return _form(text, parent=story.id, is_cut=text != whole)
    return _form()


@blueprint.get("/story")
def story() -> Response:
    """Writes a story, anew unless the address has a seed, and leads to its page. HEAD does not."""
    if request.method == "HEAD":
        return _form(request.args.get("prefix", "").strip())
    return _write_given(query_parameters)


@blueprint.post("/story")
def story_from_form() -> Response:
    """Writes a story for the page's form, and leads to its page: a long one fits no address."""
    return _write_given(_form_parameters)


@blueprint.get("/s/<string(length=12):id>")
def story_page(id: str) -> Response:
    """A stored story: a page, or JSON for who prefers that."""
    if request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json":
        return _varying(read_story(id))
    stored = stored_story(id)
    whole = stored.prefix + stored.text
    page = render_template(
        "story.html",
        settings=service().settings,
        story=stored,
        title=excerpt(whole, _TITLE),
        summary=excerpt(whole, _SUMMARY),
        is_served=is_served(stored),
        tree=tree(service().library.family(id)),
    )
    return _varying(kept(make_response(page)))


@blueprint.get("/s/<string(length=12):id>.png")
def share_card(id: str) -> Response:
    """The picture beside a link to the story."""
    stored = stored_story(id)
    picture = card(service().settings.title, excerpt(stored.prefix + stored.text, 2 * _SUMMARY))
    return kept(Response(picture, mimetype="image/png"))


@blueprint.post("/s/<string(length=12):id>/another")
def another(id: str) -> Response:
    """Writes another version of the story, and leads to its page."""
    stored = stored_story(id)
    return _write({**stored.parameters, "prefix": stored.prefix, "parent": id}, typed=True)


@blueprint.post("/s/<string(length=12):id>/like")
def like(id: str) -> Response:
    """One more like; back to the story."""
    count_like(id)
    return _to_page(id)


def tail(text: str, most: int) -> str:
    """The end of a text, so many characters at most, from a whole word on."""
    return text if len(text) <= most else re.sub(r"^\S*\s+", "", text[-most:])


def paragraphs(text: str) -> str:
    """Text with a blank line between its paragraphs."""
    return re.sub(r"\n+", "\n\n", text)


@dataclass(frozen=True)
class Branch:
    """Stories that go on one from the other, until several go on from the last."""

    stories: list[Relative]
    forks: list["Branch"]


def tree(family: Sequence[Relative]) -> Branch | None:
    """The tree of a family whose root comes first; None where a story is alone."""
    if len(family) < 2:
        return None
    children = defaultdict(list)
    for relative in family:
        children[relative.parent].append(relative)

    def grow(story: Relative) -> Branch:
        stories = [story]
        while len(children[stories[-1].id]) == 1:
            stories += children[stories[-1].id]
        return Branch(stories, [grow(child) for child in children[stories[-1].id]])

    return grow(family[0])


def _form_parameters() -> dict[str, Any]:
    values, typed = body_parameters()
    if typed:
        abort(415, "send application/x-www-form-urlencoded here, or JSON to /generate")
    return values


def _write_given(read: Callable[[], dict[str, Any]]) -> Response:
    try:
        given = read()
    except ParameterError as error:
        return _refused(request.values.get("prefix", "").strip(), error)
    values = {name: given[name] for name in NAMES if name in given}
    return _write({**values, "prefix": given.get("prefix", "").strip()}, typed=False)


def _write(values: Mapping[str, Any], *, typed: bool) -> Response:
    """Writes one story for a reader without JavaScript."""
    prefix = values["prefix"]
    try:
        wanted = validate(service().request_schema, {**values}, typed=typed)
        written = begin(wanted).write()
    except EXPECTED as error:
        return _refused(prefix, error)
    if written.id is None:
        return _form(written.text, error="This story could not be kept. Here it is all the same.")
    return _to_page(written.id)


def _refused(prefix: str, error: Exception) -> Response:
    status, told = explain(error)
    subject = "your opening" if told.field == "prefix" else told.field or ""
    words = f"{subject} {told.message}".lstrip()
    response = _form(prefix, error=f"{words[0].upper()}{words[1:]}.", status=status)
    add_headers(response, error, told)
    return response


def _form(
    text: str = "",
    *,
    parent: str | None = None,
    is_cut: bool = False,
    error: str | None = None,
    status: int = 200,
) -> Response:
    settings = service().settings
    page = render_template(
        "index.html",
        settings=settings,
        prefix=text,
        parent=parent,
        is_cut=is_cut,
        error=error,
        moods=_MOODS,
        lengths=[(min(tokens, settings.max_length), words) for tokens, words in _LENGTHS],
    )
    return make_response(page, status)


def _to_page(id: str) -> Response:
    return make_response(redirect(url_for("pages.story_page", id=id), 303))


def kept(response: Response) -> Response:
    """For browsers to keep, and to ask each time whether it has changed."""
    response.headers["Cache-Control"] = "no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response


def _varying(response: Response) -> Response:
    """For caches to keep apart from its other form."""
    response.vary.add("Accept")
    return response
