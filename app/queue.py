"""The queue in front of the engine: bounded, first come first served, honest about the wait.

The engine writes `slots` stories at once. Who comes later waits in line, and is refused at the door
where the line is so long that the promised wait cannot be kept.
"""

import heapq
import math
import time
from collections import deque
from collections.abc import Callable
from threading import Event, Lock

# Seconds between two tokens of a story, before the first has been measured.
_FIRST_PACE = 0.01
# Seconds after which everybody may come back at the latest.
_LONGEST_RETRY = 60.0
# Weight of a measurement of one second's length against all earlier ones.
_NEWS = 0.3


class Overloaded(Exception):
    """No place within the promised wait; retry_after is the seconds after which there may be."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"no place within the promised wait, try again in {retry_after:.0f} s")
        self.retry_after = retry_after


class Queue:
    """Who is being served and who waits.

    slots: stories written at once. max_wait: seconds, the promise. max_waiting: requests in line.
    """

    def __init__(
        self,
        slots: int,
        *,
        max_wait: float,
        max_waiting: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_wait = max_wait
        self._slots = self._free = slots
        self._max_waiting = max_waiting
        self._clock = clock
        self._lock = Lock()
        self._served: set[Place] = set()
        self._line: deque[Place] = deque()
        self._pace = _FIRST_PACE
        self._return = -math.inf  # when the last one that was refused may come back

    def enter(self, stories: int, length: int) -> "Place":
        """A place for a request of so many stories (at most slots) of length tokens each.

        Raises Overloaded.
        """
        place = Place(self, stories, length)
        with self._lock:
            if self._line or stories > self._free:
                waits = self._waits(stories)
                wait = waits[-1]
                if len(self._line) >= self._max_waiting:
                    raise self._refuse(place, max(waits[0], wait - self.max_wait))
                if wait > self.max_wait:
                    raise self._refuse(place, wait - self.max_wait)
            self._line.append(place)
            self._serve()
        return place

    @property
    def stories(self) -> int:
        """Stories that are being written: the engine's batch."""
        return self._slots - self._free

    @property
    def running(self) -> int:
        """Requests that are being served."""
        return len(self._served)

    @property
    def speed(self) -> float:
        """Tokens that are drawn in a second, of all stories together."""
        return self.stories / self._pace

    @property
    def waiting(self) -> int:
        """Requests in line."""
        return len(self._line)

    def wait(self) -> float:
        """Seconds that a request for one story would wait now."""
        with self._lock:
            return self._waits()[-1] if self._line or self._free < 1 else 0.0

    def _refuse(self, place: "Place", seconds: float) -> Overloaded:
        """Who is refused may come back when there is room, seconds from now, but one after the
        other, as the engine gets through with them: not all together, to be refused again."""
        now = self._clock()
        share = place.unfinished * place.left * self._pace / self._slots
        earliest = max(now + seconds, now + 1, self._return + share)
        self._return = min(earliest, now + _LONGEST_RETRY)
        return Overloaded(self._return - now)

    def _serve(self) -> None:
        while self._line and self._line[0].unfinished <= self._free:
            place = self._line.popleft()
            self._free -= place.unfinished
            self._served.add(place)
            place.begin()

    def _waits(self, newcomer: int = 1) -> list[float]:
        """Seconds until each in line begins, and then until a newcomer with so many stories does.

        Taken for granted is that every story uses its whole length: most end earlier.
        """
        free = self._free
        ends = [(place.left * self._pace, place.unfinished) for place in self._served]
        heapq.heapify(ends)
        now = 0.0
        waits = []
        for stories, length in [*((p.unfinished, p.left) for p in self._line), (newcomer, 0)]:
            while free < stories and ends:
                now, freed = heapq.heappop(ends)
                free += freed
            waits.append(now)
            free -= stories
            heapq.heappush(ends, (now + length * self._pace, stories))
        return waits

    def _measure(self, seconds: float, tokens: float) -> None:
        if seconds > 1:
            return  # the reader was away, not the engine
        weight = _NEWS * min(1.0, seconds)
        self._pace += weight * (seconds / tokens - self._pace)


class Place:
    """A request's place in the queue, until it is left."""

    def __init__(self, queue: Queue, stories: int, length: int) -> None:
        self.unfinished = stories
        """Stories that take, or will take, a slot."""
        self.left = length
        """Tokens that each of them may still have."""
        self._queue = queue
        self._turn = Event()
        self._unmeasured = 0
        self._measured: float | None = None  # when; a prompt is read before the first token

    def wait(self, seconds: float) -> bool:
        """Waits so long at most; whether it is this request's turn."""
        return self._turn.wait(seconds)

    def outlook(self) -> tuple[int, float]:
        """Position in the line, 1 for the next, and the seconds until its turn, estimated. (0, 0.0)
        when its turn has come."""
        with self._queue._lock:
            try:
                index = self._queue._line.index(self)
            except ValueError:
                return 0, 0.0
            return index + 1, self._queue._waits()[index]

    def begin(self) -> None:
        """Its turn has come: for the queue to say."""
        self._turn.set()

    def advance(self, tokens: int, left: int) -> None:
        """So many tokens were drawn, of all its stories together; the longest may still have left
        many."""
        now = self._queue._clock()
        if self._measured is None:
            self._measured = now
            return
        self._unmeasured += tokens
        if now - self._measured < 0.1:
            return
        with self._queue._lock:
            self.left = left
            each = self._unmeasured / max(1, self.unfinished)
            self._queue._measure(now - self._measured, each)
        self._unmeasured, self._measured = 0, now

    def finish_one(self) -> None:
        """One of its stories is finished: somebody else may have its slot."""
        with self._queue._lock:
            if self.unfinished and self in self._queue._served:
                self.unfinished -= 1
                self._queue._free += 1
                self._queue._serve()

    def leave(self) -> None:
        """Gives back all it has. Safe to call again."""
        queue = self._queue
        with queue._lock:
            if self in queue._served:
                queue._served.remove(self)
                queue._free += self.unfinished
                self.unfinished = 0
            elif self in queue._line:
                queue._line.remove(self)
            queue._serve()
