"""API keys: who has one, by a file that may change while the service runs."""

import logging
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from flask import request

from app.settings import Rates, SettingsError, parse_rates

# RFC 6750, section 2.1, of a length that nobody guesses.
_SECRET = re.compile(r"(?=.{16,256}$)[0-9A-Za-z._~+/-]+=*")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Key:
    """Somebody's key."""

    name: str
    rates: Rates | None
    """How many stories it is good for; None: as many as an address without a key."""


class KeyFile:
    """The keys in a file with a line `name key [limit]` for each; # begins a comment.

    Raises SettingsError that names the first wrong line. A file that becomes wrong later is
    reported in the log, and what was read before stays in force.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._look()
        self._keys = self._read()

    def find(self, secret: str) -> Key | None:
        """The key, if it is one. Secrets are compared by their hashes, so the time that this takes
        tells nothing of them."""
        try:
            stamp = self._look()
            if stamp != self._stamp:
                self._stamp = stamp
                self._keys = self._read()
                _logger.info("read %d API keys", len(self._keys))
        except SettingsError as error:
            _logger.error("the API keys stay as they were: %s", error)
        return self._keys.get(_digest(secret))

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> dict[bytes, Key]:
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"API_KEYS: cannot read {self._path}: {error}") from None
        keys: dict[bytes, Key] = {}
        for number, line in enumerate(lines, start=1):
            words = line.partition("#")[0].split(maxsplit=2)
            if not words:
                continue
            try:
                secret, key = _parse(words)
                if _digest(secret) in keys or key.name in {other.name for other in keys.values()}:
                    raise ValueError("a name or key that an earlier line has")
            except ValueError as error:
                raise SettingsError(f"API_KEYS: {self._path}, line {number}: {error}") from None
            keys[_digest(secret)] = key
        return keys


def offered_key() -> str | None:
    """What the request gives as its key: as a bearer token, or in the header X-API-Key."""
    authorization = request.authorization
    if authorization and authorization.type == "bearer":
        return authorization.token or ""
    return request.headers.get("X-API-Key")


def _parse(words: list[str]) -> tuple[str, Key]:
    if len(words) < 2:
        raise ValueError("a name and a key are needed")
    name, secret, *limit = words
    if not _SECRET.fullmatch(secret):
        raise ValueError("a key has 16 to 256 letters, digits and -._~+/")
    return secret, Key(name, parse_rates(limit[0]) if limit else None)


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
