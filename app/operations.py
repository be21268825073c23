"""What the OpenAPI document says of each view: parameters, bodies, answers, links."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from app.api import CALLBACK
from app.pages import NAMES
from app.schemas import StoryId
from app.settings import Settings

Object = dict[str, Any]
"""An object of the document."""

TAGS = {
    "stories": "Writing stories.",
    "stored stories": "What was written stays at its address.",
    "OpenAI": "The same stories for programs that speak OpenAI's completions API.",
    "pages": "The web pages, whole without JavaScript.",
    "operation": "For who runs the service, and for who writes programs for it.",
}

SECURITY: dict[str, Object] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}

_HTML: Object = {"text/html": {"schema": {"type": "string"}}}
_SECONDS: Object = {
    "description": "seconds to wait",
    "required": True,
    "schema": {"type": "integer", "minimum": 1},
}
_STORY: Object = {
    "in": "path",
    "name": "id",
    "required": True,
    "schema": TypeAdapter(StoryId).json_schema(),
    "example": "0123456789ab",
}
_CHALLENGE: Object = {"required": True, "schema": {"type": "string"}}

# Status: name, description, headers.
_ERRORS: dict[str, tuple[str, str, Object]] = {
    "400": ("WrongRequest", "A parameter is wrong, and named.", {}),
    "401": ("NoKey", "An API key is needed, or unknown.", {"WWW-Authenticate": _CHALLENGE}),
    "404": ("NotFound", "There is no such thing.", {}),
    "411": ("NoLength", "The body comes in chunks, and nginx is not there to join them.", {}),
    "413": ("TooLarge", "The body is too large.", {}),
    "414": ("TooLong", "The address is too long: send a POST.", {}),
    "415": ("WrongKind", "The body is of another kind than those above.", {}),
    "429": ("TooMuch", "This client or all together ask too much.", {"Retry-After": _SECONDS}),
    "503": ("NotNow", "No story can be written or read at present.", {"Retry-After": _SECONDS}),
}


def refusals() -> dict[str, Object]:
    """The answers that several views have in common, by name."""
    content = _json("ErrorResponse") | _HTML
    return {
        name: {"description": words, "headers": headers, "content": content}
        for name, words, headers in _ERRORS.values()
    }


def operations(settings: Settings, models: Mapping[str, Object]) -> dict[str, Object]:
    """What is said of each view, by its endpoint. models: schemas by name."""
    properties = models["StoryRequest"]["properties"]
    parameters = {name: not_null(schema) for name, schema in properties.items()}
    opening = next(iter(settings.examples), "Once upon a time")[: settings.max_prefix]
    story: Object = {"prefix": opening, "length": min(60, settings.max_length), "seed": 7}
    examples = {"a story": {"value": story}}
    query = [_query(name, schema, story.get(name)) for name, schema in parameters.items()]
    callback = {"type": "string", "maxLength": 64, "pattern": CALLBACK}
    jsonp = [
        _query("callback", callback | {"description": "for JSONP; not together with stream"}),
        _query("_", {"type": "string", "description": "what jQuery adds; passed over"}),
    ]
    sample = {**parameters["prefix"], "description": "prefix; the answer calls its text so, too"}
    going_on = {**_STORY["schema"], "description": "for a reader: the story to go on with"}
    home = [*query, _query("sample", sample), *jsonp, _query("continue", going_on)]

    keys: list[Object] = [{name: []} for name in SECURITY] if settings.api_keys else []
    security = {"security": keys if settings.require_key else [*keys, {}]} if keys else {}
    refused = ["401"] if keys else []
    body = ["411", "413", "415"]
    limits = ["429", "503"]
    completion = {"model": settings.checkpoint.name, "prompt": opening, "max_tokens": 16}
    answers = {"anyOf": [_ref("StoryResponse"), _ref("SampleResponse")]}
    stream = _story_events(_ref("StoryResponse"))
    javascript = {"application/javascript": {"schema": {"type": "string"}}}
    written = {"description": "The story.", "links": _links()}
    page = {"description": "The page.", "content": _HTML}
    led = {
        "description": "The story's page is at Location.",
        "headers": {"Location": {"required": True, "schema": {"type": "string"}}},
        "content": _HTML,
    }
    unchanged = {"description": "It is as If-None-Match says."}
    form = {"description": "What was wrong, above the form.", "content": _HTML}
    unkept = {"description": "The story, which could not be stored.", "content": _HTML}

    return {
        "api.generate": {
            "tags": ["stories"],
            "parameters": [*query, *jsonp],
            "responses": {
                "200": written | {"content": _json("StoryResponse") | stream | javascript},
                **_refusals("400", *refused, "414", *limits),
            },
            **security,
        },
        "api.generate_from_body": {
            "tags": ["stories"],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": _ref("StoryRequest"), "examples": examples},
                    "application/x-www-form-urlencoded": {
                        "schema": _ref("StoryForm"),
                        "examples": examples,
                    },
                },
            },
            "responses": {
                "200": written | {"content": _json("StoryResponse") | stream},
                **_refusals("400", *refused, *body, *limits),
            },
            **security,
        },
        "api.generate_as_cloud_run": {
            "tags": ["stories"],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": _ref("LooseStoryRequest"), "examples": examples},
                    "application/x-www-form-urlencoded": {"schema": _ref("StoryForm")},
                },
            },
            "responses": {
                "200": written | {"content": _json("StoryResponse") | stream},
                **_refusals("400", *refused, *body, *limits),
            },
            **security,
        },
        "pages.index": {
            "tags": ["stories", "pages"],
            "parameters": home,
            "responses": {
                "200": {
                    "description": "A story for a program, which gives a story's parameters or"
                    " prefers application/json; else the page.",
                    "content": {
                        "application/json": {"schema": answers},
                        **_story_events(answers),
                        **javascript,
                        **_HTML,
                    },
                },
                **_refusals("400", *refused, "404", "414", *limits),
            },
            "security": [*keys, {}],  # the page is for all
        },
        "pages.story": {
            "tags": ["pages"],
            "parameters": [
                _query(name, parameters[name], story.get(name))
                for name in NAMES
                if name in parameters
            ],
            "responses": {
                "200": unkept,
                "303": led,
                "400": form,
                **_refusals(*refused, "414", *limits),
            },
            **security,
        },
        "pages.story_from_form": {
            "tags": ["pages"],
            "requestBody": {
                "required": True,
                "content": {
                    "application/x-www-form-urlencoded": {
                        "schema": {
                            "type": "object",
                            "properties": {
                                name: schema
                                for name, schema in models["StoryForm"]["properties"].items()
                                if name in NAMES
                            },
                            "additionalProperties": {"type": "string"},  # passed over
                        },
                        "examples": examples,
                    }
                },
            },
            "responses": {
                "200": unkept,
                "303": led,
                "400": form,
                **_refusals(*refused, *body, *limits),
            },
            **security,
        },
        "pages.story_page": {
            "tags": ["pages", "stored stories"],
            "parameters": [_STORY],
            "responses": {
                "200": page | {"content": _json("StoryRecord") | _HTML},
                "304": unchanged,
                **_refusals("400", "404", *limits),
            },
        },
        "pages.share_card": {
            "tags": ["pages", "stored stories"],
            "parameters": [_STORY],
            "responses": {
                "200": {"description": "1200 x 630 pixels.", "content": {"image/png": {}}},
                "304": unchanged,
                **_refusals("400", "404", *limits),
            },
        },
        "pages.another": {
            "tags": ["pages", "stored stories"],
            "parameters": [_STORY],
            "responses": {
                "200": unkept,
                "303": led,
                "400": form,
                **_refusals(*refused, "404", "413", *limits),
            },
            **security,
        },
        "pages.like": {
            "tags": ["pages", "stored stories"],
            "parameters": [_STORY],
            "responses": {"303": led, **_refusals("400", "404", "413", *limits)},
        },
        "api.read_story": {
            "tags": ["stored stories"],
            "parameters": [_STORY],
            "responses": {
                "200": {"description": "The story.", "content": _json("StoryRecord")},
                **_refusals("400", "404", *limits),
            },
        },
        "api.like_story": {
            "tags": ["stored stories"],
            "parameters": [_STORY],
            "responses": {
                "200": {"description": "Its likes.", "content": _json("Likes")},
                **_refusals("400", "404", "413", *limits),
            },
        },
        "completions.completions": {
            "tags": ["OpenAI"],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": _ref("CompletionRequest"),
                        "examples": {"a completion": {"value": completion}},
                    }
                },
            },
            "responses": {
                "200": {
                    "description": "The completion.",
                    "content": _json("Completion")
                    | _events(
                        _event("message", _ref("Completion")),
                        _event("message", _ref("CompletionErrorResponse")),
                        {
                            "properties": {
                                "event": {"const": "message"},
                                "data": {"const": "[DONE]"},
                            }
                        },
                    ),
                },
                **_completion_errors("400", *refused, "404", *body, *limits),
            },
            **security,
        },
        "completions.models": {
            "tags": ["OpenAI"],
            "responses": {
                "200": {
                    "description": "The models.",
                    "content": _json("ModelList"),
                    "links": {
                        "model": {
                            "operationId": "model",
                            "parameters": {"name": "$response.body#/data/0/id"},
                        }
                    },
                },
                **_completion_errors(*limits),
            },
        },
        "completions.model": {
            "tags": ["OpenAI"],
            "parameters": [
                {
                    "in": "path",
                    "name": "name",
                    "required": True,
                    "schema": {"type": "string", "minLength": 1},
                    "example": settings.checkpoint.name,
                }
            ],
            "responses": {
                "200": {"description": "The model.", "content": _json("ServedModel")},
                **_completion_errors("400", "404", "414", *limits),
            },
        },
        "api.healthz": {
            "tags": ["operation"],
            "responses": {"200": {"description": "It lives.", "content": _json("Health")}},
        },
        "api.readyz": {
            "tags": ["operation"],
            "responses": {
                "200": {"description": "They can.", "content": _json("Readiness")},
                "503": {"description": "They cannot.", "content": _json("Readiness")},
            },
        },
        "scrape": {
            "tags": ["operation"],
            "responses": {
                "200": {
                    "description": "The metrics.",
                    "content": {
                        "text/plain": {"schema": {"type": "string"}},
                        "application/openmetrics-text": {"schema": {"type": "string"}},
                    },
                },
                **_refusals("401", *limits),
            },
            "security": [{name: []} for name in SECURITY],
        },
        "openapi.document": {
            "tags": ["operation"],
            "responses": {
                "200": {
                    "description": "The document.",
                    "content": {"application/json": {"schema": {"type": "object"}}},
                },
                "304": unchanged,
                **_refusals(*limits),
            },
        },
        "openapi.documentation": {
            "tags": ["pages", "operation"],
            "responses": {"200": page, "304": unchanged, **_refusals(*limits)},
        },
    }


def not_null(schema: Object) -> Object:
    """The schema of a parameter in a query or a form, where none can be null."""
    if "anyOf" not in schema:
        return schema
    kind: Object
    (kind,) = (one for one in schema["anyOf"] if one != {"type": "null"})
    return {name: schema[name] for name in schema if name not in ("anyOf", "default")} | kind


def _ref(model: str) -> Object:
    return {"$ref": f"#/components/schemas/{model}"}


def _json(model: str) -> Object:
    return {"application/json": {"schema": _ref(model)}}


def _query(name: str, schema: Object, example: object = None) -> Object:
    parameter = {"in": "query", "name": name, "schema": schema}
    return parameter if example is None else parameter | {"example": example}


def _event(name: str, data: Object) -> Object:
    """The schema of an event whose data is JSON."""
    line = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    return {"properties": {"event": {"const": name}, "data": line}}


def _events(*kinds: Object) -> Object:
    schema = {"type": "object", "required": ["event", "data"], "anyOf": list(kinds)}
    return {"text/event-stream": {"schema": schema}}


def _story_events(answer: Object) -> Object:
    """What comes of a story while it is being written, and the answer at last."""
    return _events(
        _event("queued", _ref("Waiting")),
        _event("text", _ref("Text")),
        _event("reset", _ref("Reset")),
        _event("done", answer),
        _event("error", _ref("ErrorResponse")),
    )


def _refusals(*statuses: str) -> Object:
    return {status: _ERRORS[status][0] for status in statuses}


def _completion_errors(*statuses: str) -> Object:
    """As OpenAI's clients read them, where nginx has not refused before."""
    either = {"anyOf": [_ref("CompletionErrorResponse"), _ref("ErrorResponse")]}
    return {
        status: {
            "description": words,
            "headers": headers,
            "content": {"application/json": {"schema": either}},
        }
        for status, (_, words, headers) in _ERRORS.items()
        if status in statuses
    }


def _links() -> Object:
    """What can be done with a story that was written: it has an id, unless it is not stored."""
    id = "$response.body#/id"
    ways = ("read_story", "like_story", "story_page", "share_card", "another", "like")
    links = {way: {"operationId": way, "parameters": {"id": id}} for way in ways}
    return links | {"go on": {"operationId": "generate", "parameters": {"parent": id}}}
