"""Reading a request's parameters, strictly: whatever is wrong is named."""

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from flask import request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import LengthRequired, RequestURITooLarge, UnsupportedMediaType

from app.schemas import ParameterError

Schema = TypeVar("Schema", bound=BaseModel)

_MAX_FIELDS = 50
_LISTS = {"stop"}  # may be given several times
_SUBJECT = re.compile(r"^(Value error,|Input|String) ")


def refuse_lost_query() -> None:
    """Raises RequestURITooLarge where uWSGI has dropped the query without a word, as it does when
    its buffer cannot hold it beside the whole address."""
    if not request.query_string and "?" in request.environ.get("REQUEST_URI", "")[:-1]:
        raise RequestURITooLarge


def query_parameters() -> dict[str, Any]:
    """Names and values of the query string, which Flask would read leniently: strings, or a list of
    them where a parameter may be given several times.

    Raises ParameterError.
    """
    return _form(request.query_string)


def body_parameters() -> tuple[dict[str, Any], bool]:
    """Names and values of a POST's body, and whether they carry types (JSON) or are strings (form).

    Raises ParameterError, UnsupportedMediaType for another kind of body, or LengthRequired for one
    in chunks (which nginx joins before it passes them on).
    """
    if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
        raise LengthRequired  # uWSGI hands such a body over only to who asks in its own way
    if request.query_string:
        raise ParameterError(None, "a POST takes its parameters from its body, not from the URL")
    if request.mimetype == "application/json":
        return _json(request.get_data()), True
    if request.mimetype == "application/x-www-form-urlencoded":
        return dict(_form(request.get_data())), False
    raise UnsupportedMediaType("send application/json or application/x-www-form-urlencoded")


def validate(schema: type[Schema], values: Mapping[str, Any], *, typed: bool = False) -> Schema:
    """The request that the values make: typed as in JSON, or strings as in a query.

    Raises ParameterError naming the first wrong one.
    """
    try:
        return schema.model_validate(values, strict=typed)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise ParameterError(name, "unknown parameter") from None
        raise ParameterError(name, _SUBJECT.sub("", first["msg"])) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ParameterError(name, "is given more than once")
        values[name] = value
    return values


def _unicode(values: dict[str, Any]) -> dict[str, Any]:
    for name, value in values.items():
        try:
            json.dumps([name, value], ensure_ascii=False).encode()
        except UnicodeEncodeError:  # of surrogates: escaped ones in JSON, or _form's bad bytes
            raise ParameterError(name, "is not valid Unicode") from None
    return values


def _form(encoded: bytes) -> dict[str, Any]:
    lenient = "surrogateescape"  # bytes that are not UTF-8 become surrogates
    try:
        pairs = parse_qsl(
            encoded.decode(errors=lenient),
            keep_blank_values=True,
            errors=lenient,
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:
        raise ParameterError(None, f"more than {_MAX_FIELDS} parameters") from None
    lists = {name: [value for key, value in pairs if key == name] for name in _LISTS}
    single = _unique([pair for pair in pairs if pair[0] not in _LISTS])
    return _unicode(single | {name: values for name, values in lists.items() if values})


def _json(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body.decode(), object_pairs_hook=_unique, parse_float=_number)
        if isinstance(values, dict):
            return _unicode(values)
    except UnicodeDecodeError:
        raise ParameterError(None, "the body is not valid UTF-8") from None
    except ParameterError:
        raise
    except (ValueError, RecursionError):
        raise ParameterError(None, "the body is not valid JSON") from None
    raise ParameterError(None, "the body must be a JSON object")


def _number(text: str) -> int | float:
    """As in JSON Schema, where 1.0 is an integer."""
    value = float(text)
    return int(value) if value.is_integer() else value
