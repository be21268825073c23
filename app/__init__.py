"""The web service: stories from a prefix, for people and for programs."""

import logging
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from flask import Flask, Response, url_for

from app import api, completions, openapi, pages
from app.checkpoints import CurrentModel
from app.cors import allow_origins
from app.errors import handle_errors
from app.finished import tell_finished
from app.gate import WordList
from app.library import Library, LibraryError
from app.limits import Limits, tell_limits
from app.logs import configure_logs, log_finished, name_requests
from app.metrics import Metrics, State, offer_metrics
from app.parameters import refuse_lost_query
from app.queue import Queue
from app.schemas import bounded_request
from app.service import Service
from app.settings import Settings, SettingsError
from app.visitor import stop_gracefully, threads

_logger = logging.getLogger(__name__)

_SPARE_THREADS = 16

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """The WSGI application. config overrides the environment; see app.settings for the names.

    Raises app.settings.SettingsError. The model is loaded by the first request that needs it, so
    the app may be created before a fork.
    """
    settings = Settings.read({**os.environ, **(config or {})})
    _check_threads(settings)
    configure_logs(settings.log_format)
    stop_gracefully()  # first: threads begun earlier would take its signal
    app = Flask(__name__)
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_body,
        SEND_FILE_MAX_AGE_DEFAULT=365 * 24 * 3600,  # addresses of assets change with their content
    )
    service = app.extensions["service"] = _service(settings)
    name_requests(app)
    tell_finished(app, log_finished, service.metrics.count_finished)
    offer_metrics(app, service.metrics, settings.admin_key)
    allow_origins(app, settings.cors_origin)
    app.after_request(tell_limits)
    app.register_blueprint(api.blueprint)
    app.register_blueprint(completions.blueprint)
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(openapi.blueprint)
    app.extensions["openapi"] = openapi.describe(app)
    app.template_filter()(pages.paragraphs)
    versions = {
        file.name: sha256(file.read_bytes()).hexdigest()[:8]
        for file in Path(app.static_folder or "").iterdir()
    }
    app.template_global("asset")(lambda name: url_for("static", filename=name, v=versions[name]))
    handle_errors(app)
    app.before_request(refuse_lost_query)
    app.after_request(_add_headers)
    return app


def _check_threads(settings: Settings) -> None:
    """Whoever is written for or waits takes one of uWSGI's threads; some are for all else."""
    available = threads()
    if available and settings.max_batch + settings.max_waiting > available - _SPARE_THREADS:
        raise SettingsError(
            f"MAX_BATCH, MAX_WAITING: {available - _SPARE_THREADS} together at most, with the"
            f" {available} threads of uwsgi.ini (and see limit_conn in nginx/service.conf)"
        )


def _service(settings: Settings) -> Service:
    library = Library(settings.database_url, keep=settings.keep_stories)
    try:
        library.migrate()
    except LibraryError as error:
        _logger.error("%s: stories are not stored until it is there", error)
    current_model = CurrentModel(
        settings.checkpoint,
        threads=settings.threads,
        max_batch=settings.max_batch,
        corpus=settings.corpus,
    )
    queue = Queue(settings.max_batch, max_wait=settings.max_wait, max_waiting=settings.max_waiting)
    metrics = Metrics()
    metrics.watch(
        lambda: State(
            queue.stories,
            queue.running,
            queue.speed,
            queue.waiting,
            queue.wait(),
            current_model.identity,
        )
    )
    return Service(
        settings=settings,
        current_model=current_model,
        queue=queue,
        words=_word_list(settings.blocked_words),
        library=library,
        metrics=metrics,
        limits=Limits(settings, metrics),
        request_schema=bounded_request(settings),
    )


def _word_list(path: Path | None) -> WordList:
    try:
        return WordList.read(path) if path else WordList()
    except (OSError, ValueError) as error:
        raise SettingsError(f"BLOCKED_WORDS: {error}") from None


def _add_headers(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    if response.mimetype == "text/html":
        response.headers["Content-Security-Policy"] = _PAGE_POLICY
        response.headers["Referrer-Policy"] = "same-origin"  # an address holds what was typed
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return response
