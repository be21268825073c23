"""The model that is served: looked up at every request, loaded when its checkpoint has changed."""

import logging
from pathlib import Path
from threading import Lock

from engine import CheckpointError, Model, signature

_logger = logging.getLogger(__name__)


class CurrentModel:
    """The newest good model of a checkpoint folder, or of a GGUF file.

    A request keeps the model it was given, while the next ones may get a newer one.
    """

    def __init__(self, path: Path, *, threads: int | None, max_batch: int) -> None:
        self.error: str | None = None
        """Why its present content is not served; None if it is."""
        self._path = path
        self._threads = threads
        self._max_batch = max_batch
        self._model: Model | None = None
        self._tried: object = None  # signature of what was loaded last, with success or without
        self._loading = Lock()

    def get(self) -> Model:
        """The model to serve a request with. Costs a few stat() calls where nothing has changed.

        The first request to find a new checkpoint loads it, and others are served by the old one
        meanwhile. Raises CheckpointError where there has been no good one yet.
        """
        if signature(self._path) != self._tried:
            self._update()
        if self._model is None:
            raise CheckpointError(self.error or f"{self._path} is being loaded")
        return self._model

    def _update(self) -> None:
        if not self._loading.acquire(blocking=self._model is None):
            return
        try:
            found = signature(self._path)
            if found == self._tried:
                return  # another request has loaded it meanwhile
            try:
                self._model = Model.load(
                    self._path, threads=self._threads, max_batch=self._max_batch
                )
                self.error = None
                _logger.info("serving %s, model %s", self._path, self._model.identity)
            except (CheckpointError, OSError, MemoryError) as error:
                self.error = str(error) or type(error).__name__
                _logger.error("cannot load %s: %s", self._path, self.error)
            self._tried = found
        finally:
            self._loading.release()
