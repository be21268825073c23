"""The model that is served: looked up at every request, loaded when its checkpoint has changed."""

import logging
import math
import time
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from corpus.copies import IN_CHECKPOINT, CopyIndex, build, index_of, up_to_date
from corpus.documents import CorpusError
from engine import CheckpointError, Model, signature

_PATIENCE = 30  # seconds between two tries where the machine is to blame

_logger = logging.getLogger(__name__)


class Current(NamedTuple):
    """A model, and the index of the corpus that it was trained on, where there is one."""

    model: Model
    copies: CopyIndex | None
    since: int
    """When it was loaded: seconds since 1970."""


class CurrentModel:
    """The newest good model of a checkpoint folder, or of a GGUF file.

    A request keeps the model it was given, while the next ones may get a newer one.
    """

    def __init__(
        self, path: Path, *, threads: int | None, max_batch: int, corpus: Path | None = None
    ) -> None:
        self.error: str | None = None
        """Why its present content is not served; None if it is."""
        self._path = path
        self._threads = threads
        self._max_batch = max_batch
        self._corpus = corpus
        self._current: Current | None = None
        self._tried: object = None  # signature of what was loaded last, with success or without
        self._try_again = math.inf  # when, by time.monotonic()
        self._loading = Lock()

    @property
    def identity(self) -> str | None:
        """Of the model that was served last, without a look at what has changed."""
        return self._current.model.identity if self._current else None

    def get(self) -> Current:
        """The model to serve a request with. Costs a few stat() calls where nothing has changed.

        The first request to find a new checkpoint loads it, and others are served by the old one
        meanwhile. Raises CheckpointError where there has been no good one yet.
        """
        if signature(self._path) != self._tried or time.monotonic() > self._try_again:
            self._update()
        if self._current is None:
            raise CheckpointError(self.error or f"{self._path} is being loaded")
        return self._current

    def _update(self) -> None:
        if not self._loading.acquire(blocking=self._current is None):
            return
        try:
            found = signature(self._path)
            if found == self._tried and time.monotonic() <= self._try_again:
                return  # another request has loaded it meanwhile
            self._try_again = math.inf
            try:
                model = Model.load(self._path, threads=self._threads, max_batch=self._max_batch)
                self._current = Current(model, self._open_copies(), int(time.time()))
                self.error = None
                _logger.info("serving %s, model %s", self._path, model.identity)
            except (CheckpointError, OSError, MemoryError) as error:
                self.error = str(error) or type(error).__name__
                _logger.error("cannot load %s: %s", self._path, self.error)
                if not isinstance(error, CheckpointError):  # memory or a disk: it may pass
                    self._try_again = time.monotonic() + _PATIENCE
            self._tried = found
        finally:
            self._loading.release()

    def _open_copies(self) -> CopyIndex | None:
        """The index that the training run left with the checkpoint, or else the corpus's own, which
        is built where there is none."""
        index = self._path / IN_CHECKPOINT
        try:
            if not index.exists():
                if self._corpus is None or not self._corpus.exists():
                    return None
                index = index_of(self._corpus)
                if not up_to_date(self._corpus, index):
                    _logger.info("indexing %s against copying", self._corpus)
                    build(self._corpus, index)
            return CopyIndex.open(index)
        except (CorpusError, OSError) as error:
            _logger.error("nobody looks for copies: %s", error)
            return None
