"""What Schemathesis loads in test_schemathesis.py: what OpenAPI cannot say of the service."""

from ipaddress import IPv4Address
from itertools import count
from typing import Any

import schemathesis
from requests import PreparedRequest
from schemathesis import Case, GenerationMode, HookContext

_clients = count(1)


def _from_another_client(request: PreparedRequest) -> PreparedRequest:
    request.headers["X-Forwarded-For"] = str(IPv4Address(next(_clients)))
    return request


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Each request is another client's, whose limits are its own, and goes nowhere else. Where it
    should be accepted, no parameters exclude each other, and it asks for the model that there is.
    """
    kwargs["auth"] = _from_another_client  # Schemathesis takes a changed case for another one
    kwargs["allow_redirects"] = False
    if case.meta is None or case.meta.generation.mode is GenerationMode.NEGATIVE:
        return
    query = case.query
    if "sample" in query:
        query.pop("prefix", None)
    if "callback" in query:
        query.pop("stream", None)
    if len(query) > 1:
        query.pop("continue", None)
    if isinstance(case.body, dict) and "model" in case.body:
        case.body["model"] = "run1"
