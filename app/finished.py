"""Requests that are over: their last byte is sent, or their reader has left."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask, Response, g, request


@dataclass(frozen=True)
class Finished:
    """A request and how it ended."""

    method: str
    path: str
    """Without the query, which holds what people type."""
    endpoint: str | None
    """Flask's name of the route; None where no route has this address."""
    status: int
    seconds: float
    """From its arrival to the end of its answer; a stream's are those of its reader."""
    bytes: int | None
    """Length of the answer's body; None of a stream."""
    key: str | None
    """Name of the API key that it was made with."""


def tell_finished(app: Flask, *listeners: Callable[[Finished], None]) -> None:
    """Calls the listeners at each request's end, in the thread that served it."""

    def begin() -> None:
        g.started = time.perf_counter()

    def answered(response: Response) -> Response:
        method, path, endpoint, started = request.method, request.path, request.endpoint, g.started
        # Of a stream it would be calculated by reading it to its end.
        is_whole = response.is_sequence
        length = response.calculate_content_length() if is_whole else response.content_length
        key = g.get("key_name")

        def tell() -> None:
            finished = Finished(
                method,
                path,
                endpoint,
                response.status_code,
                time.perf_counter() - started,
                length,
                key,
            )
            for listener in listeners:
                listener(finished)

        if response.direct_passthrough:  # a file: the server sends it and closes nothing of ours
            tell()
        else:
            response.call_on_close(tell)
        return response

    app.before_request(begin)
    app.after_request(answered)
