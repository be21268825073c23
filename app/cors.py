"""What pages of other sites may do with the API (CORS)."""

from flask import Flask, Response, request
from flask_cors import CORS

_EXPOSED = (
    "Retry-After",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-ID",
)


def allow_origins(app: Flask, origins: tuple[str, ...]) -> None:
    """Lets pages from these origins ask the API, with GET or POST and an API key too. If they are
    ("*",), pages from everywhere may read what a GET without a key answers."""
    if not origins:
        return
    anybody = origins == ("*",)

    def narrow(response: Response) -> Response:
        """flask-cors asks neither for the answer's kind nor for the method of the request itself,
        and leaves out Vary where it allows nothing."""
        page = response.mimetype == "text/html" and request.method != "OPTIONS"
        if page or (anybody and request.method == "POST"):
            response.headers.pop("Access-Control-Allow-Origin", None)
            response.headers.pop("Access-Control-Expose-Headers", None)
        elif not anybody:
            response.vary.add("Origin")
        return response

    app.after_request(narrow)  # Flask calls the last one first
    CORS(
        app,
        origins=list(origins),
        methods=["GET", "HEAD"] if anybody else ["GET", "HEAD", "POST"],
        allow_headers=[] if anybody else ["Authorization", "Content-Type", "X-API-Key"],
        expose_headers=_EXPOSED,
        always_send=anybody,
        send_wildcard=True,
        vary_header=False,
        max_age=24 * 3600,
        intercept_exceptions=False,  # Flask itself calls after_request for errors too
    )
