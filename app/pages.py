"""The pages: a form and a story, whole without JavaScript."""

import re
import time
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Blueprint, Response, make_response, render_template, request, url_for

from app.api import answer_ancestor, is_for_api
from app.parameters import query_parameters, validate
from app.schemas import ParameterError
from app.service import service
from app.stories import Stories
from app.visitor import Visitor
from engine import CheckpointError

blueprint = Blueprint("pages", __name__)

# What a story's address may say; other names, which shared links collect, are passed over.
_NAMES = ("prefix", "seed", "length", "temperature", "top_k", "top_p", "truncate", "end")

_UNAVAILABLE = "The writer is away from the desk. Try again in a minute."


@dataclass(frozen=True)
class Shown:
    """A story as a page shows it."""

    prefix: str
    continuation: str
    finished: bool
    facts: str
    link: str
    again: str


@blueprint.get("/")
def index() -> Response:
    """The form; or an answer of the API to a request with its parameters."""
    if is_for_api(set(request.args)):
        return answer_ancestor(query_parameters())
    return _page()


@blueprint.get("/story")
def story() -> Response:
    """A story, written anew unless the address has a seed."""
    prefix = request.args.get("prefix", "").strip()
    try:
        query = query_parameters()
        values = {name: query[name] for name in _NAMES if name in query}
        values["prefix"] = prefix = query.get("prefix", "").strip()
        wanted = validate(service().request_schema, {**values, "include_prefix": "false"})
        started = time.perf_counter()
        written = Stories(wanted, service(), Visitor.current()).write()
        seconds = time.perf_counter() - started
    except ParameterError as error:
        return _page(prefix, error=_sentence(error), status=400)
    except CheckpointError:
        return _page(prefix, error=_UNAVAILABLE, status=503)
    again = {name: value for name, value in values.items() if name != "seed"}
    shown = Shown(
        prefix=written.prefix,
        continuation=written.text,
        finished=written.finish_reason == "stop",
        facts=f"model {written.model} · seed {written.seed} · {written.tokens} tokens"
        f" · {seconds:.1f} s",
        link=_address({**again, "seed": str(written.seed)}),
        again=_address(again),
    )
    return _page(prefix, shown=shown)


def _address(parameters: dict[str, str]) -> str:
    return f"{url_for('pages.story')}?{urlencode(parameters)}"


def paragraphs(text: str) -> str:
    """Text with a blank line between its paragraphs."""
    return re.sub(r"\n+", "\n\n", text)


def _sentence(error: ParameterError) -> str:
    subject = "your opening" if error.field == "prefix" else error.field or ""
    words = f"{subject} {error.message}.".lstrip()
    return words[0].upper() + words[1:]


def _page(
    prefix: str = "", *, shown: Shown | None = None, error: str | None = None, status: int = 200
) -> Response:
    page = render_template(
        "index.html", settings=service().settings, prefix=prefix, story=shown, error=error
    )
    return make_response(page, status)
