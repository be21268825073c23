"""The load: clients that each ask for a story, read it to its end and ask for the next one.

    python -m bench.clients '{"port": 8080, "path": "/generate", "clients": 16, "seconds": 10}'

They all live in one process, apart from what measures the servers, and print an `Outcome` as JSON.
A client that is refused waits as long as Retry-After says and asks again. Every request is a new
stranger's: it has an address (X-Forwarded-For), a connection, an opening and a seed of its own.
Once the time is up nobody begins a story, and those under way are read to their end.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Self
from urllib.parse import urlencode

LENGTH = 100  # tokens
_LONGEST_RETRY = 30.0  # seconds
_PATIENCE = 600.0  # seconds for one answer
_REFUSALS = (429, 503)


@dataclass(frozen=True)
class Load:
    """What is asked for."""

    port: int
    path: str
    clients: int
    seconds: float


@dataclass(frozen=True)
class Story:
    """A story that came whole. Seconds count from the request that was accepted."""

    first_token: float
    """Until its first text; until its end where it is not streamed."""
    seconds: float
    """Until its end."""
    tokens: int


@dataclass
class Outcome:
    """What came of it."""

    seconds: float = 0
    """From the first request to the last answer."""
    cpu: float = 0
    """Seconds of processor time that the clients took."""
    stories: list[Story] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    """Requests that were told to come again, by status."""
    errors: dict[str, int] = field(default_factory=dict)
    """What else came, by what it was."""

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """What a process of this module has printed."""
        values = json.loads(text)
        return cls(**{**values, "stories": [Story(**story) for story in values["stories"]]})


class AnswerError(ValueError):
    """An answer that is neither a story nor a refusal; the message says what it is."""


class Refused(Exception):
    """Told to come again."""

    def __init__(self, status: int, retry_after: float) -> None:
        self.status = status
        self.retry_after = retry_after


def parse_events(body: bytes) -> Iterator[tuple[str, str]]:
    """The server-sent events of a stream, each with its name and data; an unfinished one is none.

    As https://html.spec.whatwg.org/multipage/server-sent-events.html has it, less `id`, `retry`
    and the other ends of lines, which the service does not send.
    """
    name = ""
    data: list[str] = []
    for line in body.decode(errors="replace").split("\n")[:-1]:
        if not line and data:
            yield name or "message", "\n".join(data)
        if not line:
            name, data = "", []
            continue
        key, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if key == "event":
            name = value
        elif key == "data":
            data.append(value)


def parse_answer(answer: bytes) -> int:
    """The tokens of the story that an HTTP answer holds, whole: head and body.

    Raises Refused, AnswerError, and ValueError where it is no HTTP or no JSON.
    """
    head, blank, body = answer.partition(b"\r\n\r\n")
    if not blank:
        raise AnswerError("no answer")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    status = int(first.partition(" ")[2][:3])
    if status in _REFUSALS and headers.get("retry-after", "").isdigit():
        raise Refused(status, float(headers["retry-after"]))
    if status != 200:
        raise AnswerError(f"status {status}")
    if headers.get("content-type", "").startswith("text/event-stream"):
        events = list(parse_events(body))
        if not events or events[-1][0] != "done":
            raise AnswerError(f"a stream that ends with {events[-1][0] if events else 'nothing'}")
        body = events[-1][1].encode()
    elif headers.get("content-length") != str(len(body)):
        raise AnswerError("a body cut short")
    # The ancestor does not count: it always draws as many as it was asked for.
    tokens: int = json.loads(body).get("tokens", LENGTH)
    return tokens


async def _ask(load: Load, chance: random.Random) -> Story:
    """Raises Refused, ValueError and OSError."""
    query = urlencode(
        {
            "prefix": f"Episode {chance.randrange(10_000)}: ",
            "seed": chance.randrange(2**32),
            "length": LENGTH,
            "end": "token",
            "stream": "true",
            "include_prefix": "false",  # else the first text would not be the model's
        }
    )
    address = ".".join(map(str, (10, *chance.randbytes(3))))
    # In HTTP/1.0 a body is all that comes before the connection ends.
    request = f"GET {load.path}?{query} HTTP/1.0\r\nX-Forwarded-For: {address}\r\n\r\n"
    begun = time.perf_counter()
    first_token = 0.0
    answer = bytearray()
    reader, writer = await asyncio.open_connection("127.0.0.1", load.port)
    try:
        writer.write(request.encode())
        while part := await reader.read(65536):
            answer += part
            if not first_token and b"event: text\n" in answer:
                first_token = time.perf_counter() - begun
    finally:
        writer.close()
    seconds = time.perf_counter() - begun
    tokens = parse_answer(bytes(answer))
    return Story(first_token or seconds, seconds, tokens)


async def _visit(load: Load, number: int, until: float, outcome: Outcome) -> None:
    chance = random.Random(number)  # noqa: S311
    while (left := until - time.perf_counter()) > 0:
        try:
            async with asyncio.timeout(_PATIENCE):
                outcome.stories.append(await _ask(load, chance))
        except Refused as refused:
            _count(outcome.refused, str(refused.status))
            await asyncio.sleep(min(refused.retry_after, _LONGEST_RETRY, left))
        except (ValueError, OSError) as error:
            _count(outcome.errors, str(error) or type(error).__name__)
            await asyncio.sleep(min(1, left))


def _count(counts: dict[str, int], what: str) -> None:
    counts[what] = counts.get(what, 0) + 1


async def run(load: Load) -> Outcome:
    """Puts the load on a server."""
    outcome = Outcome()
    begun = time.perf_counter()
    until = begun + load.seconds
    async with asyncio.TaskGroup() as visits:
        for number in range(load.clients):
            visits.create_task(_visit(load, number, until, outcome))
    outcome.seconds = time.perf_counter() - begun
    outcome.cpu = time.process_time()
    return outcome


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(run(Load(**json.loads(sys.argv[1])))))))
