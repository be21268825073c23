"""What the views share."""

from dataclasses import dataclass
from typing import cast

from flask import current_app

from app.checkpoints import CurrentModel
from app.gate import WordList
from app.library import Library
from app.limits import Limits
from app.metrics import Metrics
from app.queue import Queue
from app.schemas import StoryRequest
from app.settings import Settings


@dataclass(frozen=True)
class Service:
    """One app's settings, model, queue, stored stories, metrics and limits, and what a request to
    it may say."""

    settings: Settings
    current_model: CurrentModel
    queue: Queue
    words: WordList
    library: Library
    metrics: Metrics
    limits: Limits
    request_schema: type[StoryRequest]


def service() -> Service:
    """The service of the app that handles the present request."""
    return cast(Service, current_app.extensions["service"])
