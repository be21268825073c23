"""Writing stories: from a request and a model to text."""

import secrets
from collections.abc import Iterator

from app.endings import TextStream
from app.schemas import FinishReason, Sample, StoryRequest, StoryResponse
from engine import Model, Sampling


class Story:
    """One story being written. Iterate over it once, for its text in pieces; the engine works on
    it from the beginning, and close() ends that early."""

    def __init__(self, model: Model, prompt: list[int], request: StoryRequest, seed: int) -> None:
        self.seed = seed
        self.tokens = 0
        self.finish_reason: FinishReason = "length"
        self.text = ""
        self._decode = model.tokenizer.decode
        self._request = request
        sampling = Sampling(
            temperature=request.temperature, top_k=request.top_k, top_p=request.top_p
        )
        self._generation = model.submit(prompt, length=request.length, sampling=sampling, seed=seed)

    def __iter__(self) -> Iterator[str]:
        for piece in self._pieces():
            if piece:
                self.text += piece
                yield piece

    def _pieces(self) -> Iterator[str]:
        request = self._request
        stream = TextStream(request.prefix, request.end, request.truncate)
        if request.include_prefix:
            yield request.prefix
        for token in self._generation:
            self.tokens += 1
            yield stream.feed(self._decode([token]))
            if stream.stopped:
                self.close()
                break
        if stream.stopped or self._generation.finish_reason == "stop":
            self.finish_reason = "stop"
        yield stream.finish(cut=self.finish_reason == "length")

    def close(self) -> None:
        """Takes the story out of the engine's batch."""
        self._generation.cancel()

    def sample(self) -> Sample:
        """What has been written, to be asked for at the end."""
        return Sample(
            text=self.text, seed=self.seed, tokens=self.tokens, finish_reason=self.finish_reason
        )


class Stories:
    """The samples of one request, written side by side."""

    def __init__(self, model: Model, request: StoryRequest) -> None:
        self._model = model
        self._prefix = request.prefix
        prompt = [model.tokenizer.end_of_text, *model.tokenizer.encode(request.prefix)]
        first = secrets.randbelow(2**32) if request.seed is None else request.seed
        self._stories = [
            Story(model, prompt, request, (first + i) % 2**32) for i in range(request.nsamples)
        ]

    def pieces(self) -> Iterator[tuple[int, str]]:
        """Writes the stories: pieces of text, each with the number of its sample."""
        try:
            live = {i: iter(story) for i, story in enumerate(self._stories)}
            while live:
                for i in list(live):
                    try:
                        yield i, next(live[i])
                    except StopIteration:
                        del live[i]
        finally:
            self.close()

    def write(self) -> StoryResponse:
        """Writes the stories to their end; returns the answer."""
        for _ in self.pieces():
            pass
        return self.response()

    def response(self) -> StoryResponse:
        """The answer, for the end of pieces()."""
        samples = [story.sample() for story in self._stories]
        return StoryResponse(
            **samples[0].model_dump(),
            prefix=self._prefix,
            model=self._model.identity,
            samples=samples if len(samples) > 1 else None,
        )

    def close(self) -> None:
        """Ends what is still being written."""
        for story in self._stories:
            story.close()
