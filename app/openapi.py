"""The whole API as an OpenAPI 3.1 document, written from the models that validate and the views
that answer, and the page that shows it.

Source: OpenAPI Specification 3.1.1, which has no word for events: as usual before 3.2, the schema
of text/event-stream is that of one event.
"""

import json
import re
from importlib.metadata import version
from inspect import getdoc
from shlex import quote
from typing import Any, cast

from apispec import APISpec
from flask import Blueprint, Flask, Response, current_app, render_template, request
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from app import schemas
from app.completions import (
    STORY_NAMES,
    Completion,
    CompletionErrorResponse,
    CompletionRequest,
    ModelList,
    ServedModel,
)
from app.operations import SECURITY, TAGS, Object, not_null, operations, refusals
from app.pages import kept
from app.service import Service, service
from app.stories import Reset, Text, Waiting

blueprint = Blueprint("openapi", __name__)

_ABOUT = """\
{tagline}

A wrong request is answered with 400 and the name of the wrong parameter. 429 and 503 pass: their
`Retry-After` says after how many seconds. A browser, which prefers `text/html`, gets errors as
pages. Each GET may be a HEAD. Each answer has an `X-Request-ID`, its name in the server's log;
where a client's stories or likes are limited, `X-RateLimit-Limit`, `-Remaining` and `-Reset` tell.
"""


@blueprint.get("/openapi.json")
def document() -> Response:
    """This document."""
    text = json.dumps(current_app.extensions["openapi"], ensure_ascii=False)
    return kept(Response(text, mimetype="application/json"))


@blueprint.get("/docs")
def documentation() -> Response:
    """This document as a page."""
    page = render_template(
        "docs.html",
        settings=service().settings,
        document=current_app.extensions["openapi"],
        url=request.url_root.rstrip("/"),
    )
    return kept(Response(page, mimetype="text/html"))


def describe(app: Flask) -> Object:
    """The document of an app that has all its views."""
    shared = cast(Service, app.extensions["service"])
    settings = shared.settings
    spec = APISpec(
        title=settings.title,
        version=version("one-more-episode"),
        openapi_version="3.1.0",
        info={"description": _ABOUT.format(tagline=settings.tagline)},
        servers=[{"url": "/"}],
        tags=[{"name": name, "description": words} for name, words in TAGS.items()],
    )
    models = _models(shared)
    for name, schema in models.items():
        spec.components.schema(name, schema)
    for name, response in refusals().items():
        spec.components.response(name, response)
    for name, scheme in SECURITY.items():
        spec.components.security_scheme(name, scheme)
    for endpoint, operation in operations(settings, models).items():
        if endpoint not in app.view_functions:  # /metrics without the operator's key
            continue
        (rule,) = app.url_map.iter_rules(endpoint)
        (method,) = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        summary, _, more = (getdoc(app.view_functions[endpoint]) or "").partition("\n\n")
        path = re.sub(r"<(?:[^<>]+:)?(\w+)>", r"{\1}", rule.rule)
        curl = {"lang": "Shell", "source": _curl(method.lower(), path, operation)}
        told = {
            "operationId": endpoint.rpartition(".")[2],
            "summary": " ".join(summary.split()),
            **({"description": more} if more else {}),
            **operation,
            "x-codeSamples": [curl],
        }
        spec.path(path, operations={method.lower(): told})
    return spec.to_dict()


class _Schemas(GenerateJsonSchema):
    """Without titles that say a field's name once more."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def _models(shared: Service) -> dict[str, Object]:
    """The schemas of all that is sent or answered, by name."""
    sent: list[Any] = [shared.request_schema, CompletionRequest]
    answered: list[Any] = [
        *(schemas.StoryResponse, schemas.StoryRecord, schemas.Likes, schemas.ErrorResponse),
        *(schemas.Health, schemas.Readiness, Waiting, Text, Reset),
        *(Completion, CompletionErrorResponse, ModelList, ServedModel),
    ]
    modes: list[tuple[Any, JsonSchemaMode]] = [(model, "validation") for model in sent]
    modes += [(model, "serialization") for model in answered]
    _, whole = TypeAdapter.json_schemas(
        [(model.__name__, mode, TypeAdapter(model)) for model, mode in modes],
        ref_template="#/components/schemas/{model}",
        schema_generator=_Schemas,
    )
    models = cast(dict[str, Object], whole["$defs"])
    story = models["StoryRequest"]["properties"]
    for ours, theirs in STORY_NAMES.items():  # completions become stories, and keep their bounds
        bounds = {
            name: story[ours][name] for name in ("maximum", "maxLength") if name in story[ours]
        }
        _bound(models["CompletionRequest"]["properties"][theirs], bounds)
    form = {name: not_null(schema) for name, schema in story.items()}
    models["StoryForm"] = models["StoryRequest"] | {
        "description": "StoryRequest as a form, where a list of one is no list.",
        "properties": {
            name: {"anyOf": [schema["items"], schema]} if "items" in schema else schema
            for name, schema in form.items()
        },
    }
    models["LooseStoryRequest"] = models["StoryRequest"] | {
        "description": "StoryRequest, in which numbers and booleans may come as strings.",
        "properties": {name: _or_string(schema) for name, schema in story.items()},
    }
    answer = models["StoryResponse"]
    renamed = {"sample_text" if name == "text" else name for name in answer["required"]}
    models["SampleResponse"] = answer | {
        "description": "StoryResponse as the ancestor called it.",
        "properties": {"sample_text": answer["properties"]["text"]}
        | {name: schema for name, schema in answer["properties"].items() if name != "text"},
        "required": sorted(renamed),
    }
    return models


def _bound(schema: Object, bounds: Object) -> None:
    """Adds bounds to a schema, or to its alternatives and items."""
    match schema:
        case {"anyOf": alternatives}:
            for one in alternatives:
                _bound(one, bounds)
        case {"items": items}:
            _bound(items, bounds)
        case {"type": "integer" | "string"}:
            schema |= bounds


def _or_string(schema: Object) -> Object:
    """The schema of a value that may also come as a string that says the same."""
    said = {name: schema[name] for name in ("description", "default") if name in schema}
    rest = {name: value for name, value in schema.items() if name not in said}
    kinds = rest.get("anyOf", [rest])
    strings = [
        {"type": "string", "contentMediaType": "application/json", "contentSchema": kind}
        for kind in kinds
        if kind["type"] in ("integer", "number", "boolean")
    ]
    return said | {"anyOf": [*kinds, *strings]} if strings else schema


def _curl(method: str, path: str, operation: Object) -> str:
    """The operation's examples, for a shell that knows the service's address as $URL."""
    words = []
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
        elif "example" in parameter:
            words += ["--data-urlencode", quote(f"{parameter['name']}={parameter['example']}")]
    if words:
        words.insert(0, "--get")
    if "requestBody" in operation:
        kind, body = next(iter(operation["requestBody"]["content"].items()))
        (example, *_) = body["examples"].values()
        if kind == "application/json":
            words += ["--json", quote(json.dumps(example["value"], ensure_ascii=False))]
        else:
            for name, value in example["value"].items():
                words += ["--data-urlencode", quote(f"{name}={value}")]
    elif method == "post":
        words += ["--request", "POST"]
    return " ".join(["curl", *words, f"$URL{path}"])
