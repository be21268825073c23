"""Who may ask for stories, and how often."""

import math
import time
from ipaddress import IPv6Address, ip_address, ip_network
from threading import Lock

from flask import Response, g, request
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import TooManyRequests, Unauthorized

from app.keys import Key, KeyFile, offered_key
from app.metrics import Metrics
from app.settings import Rates, Settings


class Limits:
    """One app's API keys, and what its clients have used of their limits."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Raises SettingsError where the file of API keys is wrong."""
        self._settings = settings
        self._keys = KeyFile(settings.api_keys) if settings.api_keys else None
        self._windows = FixedWindowRateLimiter(MemoryStorage())
        self._lock = Lock()
        self._metrics = metrics

    def admit_stories(self, stories: int) -> None:
        """Counts a request for so many stories under its key, or else under its client's address.

        Raises Unauthorized for an unknown key, or none where one is needed; TooManyRequests.
        """
        key = self._key()
        if key is None and self._settings.require_key:
            raise _unauthorized("an API key is needed, as Authorization: Bearer or X-API-Key")
        rates = self._settings.rate_limit if key is None or key.rates is None else key.rates
        client = f"key {key.name}" if key else client_address()
        self._count("stories", rates, client, stories)

    def admit_like(self) -> None:
        """Counts a like under its client's address. Raises TooManyRequests."""
        self._count("likes", self._settings.like_limit, client_address(), 1)

    def _key(self) -> Key | None:
        offered = offered_key()
        if offered is None or self._keys is None:  # OpenAI's clients send one in any case
            return None
        key = self._keys.find(offered)
        if key is None:
            raise _unauthorized("this API key is unknown")
        g.key_name = key.name
        return key

    def _count(self, what: str, rates: Rates, client: str, amount: int) -> None:
        """All or nothing. More than a limit ever allows counts as the whole of it."""
        windows = self._windows
        with self._lock:
            refusing = [
                rate
                for rate in rates
                if not windows.test(rate, what, client, cost=min(amount, rate.amount))
            ]
            if not refusing:
                for rate in rates:
                    windows.hit(rate, what, client, cost=min(amount, rate.amount))
            stats = [(rate, *windows.get_window_stats(rate, what, client)) for rate in rates]
        if stats:
            rate, reset, remaining = min(stats, key=lambda stat: stat[2])
            g.rate_limit_headers = {
                "X-RateLimit-Limit": str(rate.amount),
                "X-RateLimit-Remaining": str(max(0, remaining)),
                "X-RateLimit-Reset": str(math.ceil(reset)),  # seconds since 1970, as GitHub's
            }
        if refusing:
            self._metrics.rejections.labels("limit").inc()
            reset = max(reset for rate, reset, _ in stats if rate in refusing)
            seconds = max(1, math.ceil(reset - time.time()))
            raise TooManyRequests(
                f"no more than {refusing[0]}: try again in {seconds} seconds", retry_after=seconds
            )


def tell_limits(response: Response) -> Response:
    """Tells the client what it has left, in headers: to be called after each request."""
    response.headers.update(g.get("rate_limit_headers", {}))
    return response


def client_address() -> str:
    """Whom the request is from, by the address that nginx vouches for: X-Forwarded-For is not read
    here. An IPv6 client is its network, /64, of which it has every address."""
    given = request.remote_addr or "unknown"
    try:
        address = ip_address(given)
    except ValueError:
        return given
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((address, 64), strict=False))
    return str(address)


def _unauthorized(message: str) -> Unauthorized:
    return Unauthorized(message, www_authenticate=WWWAuthenticate("bearer"))
