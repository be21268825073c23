"""Writing stories: from a request to text, through the queue, the engine and the gate."""

import json
import logging
import secrets
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b

from app.endings import TextStream
from app.gate import Check, Refusal
from app.library import LibraryError, StoredStory
from app.queue import Overloaded
from app.schemas import (
    Copied,
    FinishReason,
    ParameterError,
    Sample,
    StoryRequest,
    StoryResponse,
    address,
)
from app.service import Service
from app.visitor import Visitor, stopping
from corpus.copies import Copy
from engine import Generation, Sampling

# What a seed is followed by where its text is refused: 2^32 divided by the golden ratio, odd.
_NEXT_SEED = 0x9E3779B9
_LOOK_AROUND = 0.5  # seconds between two looks whether the visitor is still there
_NEWS = 1.0  # seconds between two reports from the line
# What does not decide about the text, or stands elsewhere in a stored story.
_NO_PARAMETERS = {"prefix", "include_prefix", "nsamples", "seed", "stream", "resample", "parent"}

_logger = logging.getLogger(__name__)


class Abandoned(Exception):
    """The visitor has left: nobody reads an answer."""


class Stopping(Exception):
    """The server is shutting down: it finishes what runs and begins nothing."""


@dataclass(frozen=True)
class Waiting:
    """The request waits in line: its position, 1 for the next, and the estimated seconds."""

    position: int
    wait: float


@dataclass(frozen=True)
class Text:
    """A piece of sample number index."""

    index: int
    text: str


@dataclass(frozen=True)
class Reset:
    """Sample number index is drawn anew: what has come of it does not count."""

    index: int
    reason: Refusal


Event = Waiting | Text | Reset


@dataclass
class _Draft:
    """A sample as far as it is written. continuation: the text after the prefix."""

    seed: int
    attempts: int
    continuation: str = ""
    tokens: int = 0
    finish_reason: FinishReason = "length"
    copied: list[Copied] | None = None


class Stories:
    """The samples of one request, written side by side.

    They have their place in the queue from the beginning: iterate over events() once or call
    write(), and close() in any case. Raises queue.Overloaded where there is no place,
    CheckpointError without a model, and ParameterError where the prefix has a word of the owner's
    list. voter is what the visitor is called where picks are stored.
    """

    def __init__(
        self, request: StoryRequest, service: Service, visitor: Visitor, voter: str
    ) -> None:
        if service.words.safe_length(request.prefix) is None:
            raise ParameterError("prefix", "contains a word that is not welcome here")
        self._request = request
        self._service = service
        self._metrics = service.metrics
        self._visitor = visitor
        self._voter = voter
        self.model, self._copies, _ = service.current_model.get()
        self._begun = self._turn = time.monotonic()
        tokenizer = self.model.tokenizer
        self._prompt = [tokenizer.end_of_text, *tokenizer.encode(request.prefix)]
        self._seed = secrets.randbelow(2**32) if request.seed is None else request.seed
        self._drafts: dict[int, _Draft] = {}
        self._drawn = 0  # tokens, in all attempts
        self._generations: dict[int, Generation] = {}
        try:
            self._place = service.queue.enter(request.nsamples, request.length)
        except Overloaded:
            service.metrics.rejections.labels("full").inc()
            raise

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prefix."""
        return len(self._prompt) - 1

    def write(self) -> StoryResponse:
        """Writes the stories to their end; returns the answer. Raises as events() does."""
        for _ in self.events():
            pass
        return self.response()

    def events(self) -> Iterator[Event]:
        """Writes the stories, and tells how it goes on.

        Raises Abandoned, Stopping, and queue.Overloaded where the promised wait has not sufficed.
        """
        try:
            yield from self._wait()
            self._turn = time.monotonic()
            self._metrics.queue_seconds.observe(self._turn - self._begun)
            yield from self._write()
            self._metrics.story_seconds.observe(time.monotonic() - self._turn)
        finally:
            self.close()

    def response(self) -> StoryResponse:
        """The answer, for the end of events(). The stories are stored."""
        drafts = [self._drafts[i] for i in range(self._request.nsamples)]
        stored = [self._stored(draft) for draft in drafts]
        ids: list[str | None] = [story.id for story in stored]
        try:
            self._service.library.save(stored, self._voter)
        except LibraryError as error:
            _logger.error("stories are not stored: %s", error)
            ids = [None] * len(stored)
        samples = [self._sample(draft, id) for draft, id in zip(drafts, ids, strict=True)]
        return StoryResponse(
            **samples[0].model_dump(),
            prefix=self._request.prefix,
            model=self.model.identity,
            samples=samples if len(samples) > 1 else None,
        )

    def close(self) -> None:
        """Ends what is still being written and leaves the queue."""
        for generation in self._generations.values():
            generation.cancel()
        self._place.leave()

    def _wait(self) -> Iterator[Waiting]:
        """Until it is their turn."""
        told = -_NEWS
        while not self._place.wait(_LOOK_AROUND if told > 0 else 0):
            self._look_around()
            if stopping():
                self._metrics.rejections.labels("stopping").inc()
                raise Stopping
            now = time.monotonic()
            is_late = now - self._begun > self._service.queue.max_wait
            if not is_late and now - told < _NEWS:
                continue
            told = now
            position, wait = self._place.outlook()
            if is_late:
                self._metrics.rejections.labels("deadline").inc()
                raise Overloaded(max(wait, 1.0))
            if position:
                yield Waiting(position, round(wait, 1))

    def _write(self) -> Iterator[Event]:
        """What there is of each story, one after the other."""
        length = self._request.length
        self._metrics.tokens.labels("prompt").inc(self.prompt_tokens)
        live = {i: self._draw(i) for i in range(self._request.nsamples)}
        looked = time.monotonic()
        while live:
            drawn = self._drawn
            for i in list(live):
                try:
                    event = next(live[i])
                except StopIteration:
                    del live[i]
                    self._place.finish_one()
                else:
                    if event:
                        yield event
            if live:
                least = min(self._drafts[i].tokens for i in live)
                self._place.advance(self._drawn - drawn, length - least)
            now = time.monotonic()
            if now - looked >= _LOOK_AROUND:
                looked = now
                self._look_around()

    def _look_around(self) -> None:
        if self._visitor.has_left():
            raise Abandoned

    def _is_late(self) -> bool:
        return time.monotonic() - self._begun > self._service.settings.deadline

    def _draw(self, index: int) -> Iterator[Text | Reset | None]:
        """Writes one sample, anew where the gate refuses it. None: tokens without news."""
        draws = self._request.draws
        for attempt in range(draws):
            seed = (self._seed + index + attempt * _NEXT_SEED) % 2**32
            self._drafts[index] = _Draft(seed, attempt + 1)
            refusal = yield from self._attempt(index, last=attempt == draws - 1)
            if refusal is None:
                return
            self._metrics.resets.labels(refusal).inc()
            yield Reset(index, refusal)

    def _attempt(self, index: int, *, last: bool) -> Generator[Text | None, None, Refusal | None]:
        """Writes a sample once. Returns why it is to be drawn anew, if it is. The last attempt
        counts as far as it may be shown, copied or not."""
        request, draft = self._request, self._drafts[index]
        sampling = Sampling(
            temperature=request.temperature,
            top_k=request.top_k,
            top_p=request.top_p,
            repetition_penalty=request.repetition_penalty,
        )
        generation = self._generations[index] = self.model.submit(
            self._prompt, length=request.length, sampling=sampling, seed=draft.seed
        )
        stream = TextStream(request.prefix, request.end, request.stops)
        check = Check(self._service.words, self._copies, may_copy=last, prefix=request.prefix)
        if request.include_prefix and request.prefix:
            yield Text(index, request.prefix)
        while tokens := generation.read():
            if draft.tokens == 0 and draft.attempts == 1:
                self._metrics.first_token_seconds.observe(time.monotonic() - self._turn)
            piece = ""
            for token in tokens:
                draft.tokens += 1
                piece += check.feed(stream.feed(self.model.tokenizer.decode([token])))
                if stream.stopped or check.refusal:
                    break
            self._drawn += len(tokens)
            self._metrics.tokens.labels("generated").inc(len(tokens))
            draft.continuation += piece
            yield Text(index, piece) if piece else None
            if stream.stopped or check.refusal or self._is_late():
                break
        generation.cancel()
        ended = stream.stopped or generation.finish_reason == "stop"
        rest = check.finish(stream.finish(cut=not ended))
        if check.refusal and not last and not self._is_late():
            return check.refusal
        draft.continuation += rest
        if check.copied is not None:
            draft.copied = _shown(check.copied, draft.continuation)
        if check.refusal and check.refusal != "empty":
            draft.finish_reason = "filtered"
        elif ended:
            draft.finish_reason = "stop"
        elif draft.tokens < request.length:
            draft.finish_reason = "deadline"
        self._metrics.stories.labels(draft.finish_reason).inc()
        if rest:
            yield Text(index, rest)
        return None

    def _sample(self, draft: _Draft, id: str | None) -> Sample:
        prefix = self._request.prefix if self._request.include_prefix else ""
        return Sample(
            text=prefix + draft.continuation,
            seed=draft.seed,
            tokens=draft.tokens,
            finish_reason=draft.finish_reason,
            id=id,
            url=id and address(id),
            copied=draft.copied,
            attempts=draft.attempts,
        )

    def _stored(self, draft: _Draft) -> StoredStory:
        parameters = self._request.model_dump(exclude=_NO_PARAMETERS)
        identity = [self.model.identity, self._request.prefix, parameters, draft.seed]
        copied = draft.copied
        return StoredStory(
            id=_identify([*identity, draft.continuation]),
            created=datetime.now(UTC),
            model=self.model.identity,
            prefix=self._request.prefix,
            text=draft.continuation,
            seed=draft.seed,
            tokens=draft.tokens,
            finish_reason=draft.finish_reason,
            attempts=draft.attempts,
            copied=None if copied is None else [run.model_dump() for run in copied],
            parameters=parameters,
            parent=self._request.parent,
        )


def _shown(runs: list[Copy], text: str) -> list[Copied]:
    """The runs that text, which may end before what was looked at, shows whole."""
    return [
        Copied(text=text[run.start : run.end], words=run.words, source=run.source)
        for run in runs
        if run.end <= len(text)
    ]


def _identify(values: list[object]) -> str:
    """12 characters of 0-9a-z, 62 bits: the same story has the same address."""
    digest = blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=16).digest()
    number = int.from_bytes(digest)
    letters = "0123456789abcdefghijklmnopqrstuvwxyz"
    return "".join(letters[number // 36**i % 36] for i in range(12))
