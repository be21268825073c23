"""What only uWSGI knows: whether a visitor is still there, and whether the server is to end."""

import os
import select
import signal
import socket
from contextlib import suppress
from threading import Event, Thread

try:
    import uwsgi  # type: ignore[import-untyped]
except ImportError:
    uwsgi = None  # another server, or none: nobody leaves, nothing ends

_stopping = Event()

# A connection whose other end is closed, however much of what came from there is still unread.
_CLOSED = getattr(select, "POLLRDHUP", 0)  # POLLHUP is always reported


class Visitor:
    """The other end of the connection whose request is being handled."""

    def __init__(self, connection: int | None) -> None:
        self._connection = connection

    @classmethod
    def current(cls) -> "Visitor":
        """Of the request that this thread handles; outside uWSGI one who never leaves."""
        return cls(uwsgi.connection_fd() if uwsgi else None)

    def has_left(self) -> bool:
        """Whether the connection has been closed at the other end, by the visitor or by nginx,
        which closes it when the visitor leaves. Costs a microsecond. To be asked, by any thread,
        until the request is answered: later the connection's number may be another's.
        """
        if self._connection is None:
            return False
        poll = select.poll()
        poll.register(self._connection, _CLOSED)
        return bool(poll.poll(0))


def threads() -> int | None:
    """How many requests uWSGI handles at once; None outside of it."""
    return int(uwsgi.opt.get("threads", b"1")) if uwsgi else None


def stopping() -> bool:
    """Whether the server finishes what it has begun and begins nothing more. Not at a reload, whose
    new server goes on with who is waiting."""
    return _stopping.is_set()


def stop_gracefully() -> None:
    """Makes uWSGI's end graceful; to be called once, by the worker that loads the app.

    At SIGINT or SIGTERM (with die-on-term) uWSGI's master sends SIGINT to its worker, which would
    end at once. Instead, requests being handled are finished, for worker-reload-mercy seconds at
    most, and others are refused. uWSGI's own graceful end, gracefully_kill_them_all with
    shutdown-sockets, has no such bound, and refuses nobody while its first thread is busy.
    """
    if uwsgi is None or not hasattr(signal, "sigwaitinfo"):  # macOS: it ends at once
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # also in threads begun from here on
    Thread(target=_wait_for_stop, name="stop", daemon=True).start()


def _wait_for_stop() -> None:
    # Ctrl-C reaches the worker, too. The master's word counts: without it, the worker is replaced.
    while signal.sigwaitinfo({signal.SIGINT}).si_pid != uwsgi.masterpid():
        pass
    _stopping.set()
    signal.raise_signal(signal.SIGHUP)  # uWSGI's handler: accept nothing, finish, end
    for number in uwsgi.sockets:
        # The worker shares it with its master: from here on nobody can connect. Who has connected
        # and been accepted by nobody is turned away.
        with socket.socket(fileno=os.dup(number)) as listening, suppress(OSError):
            listening.setblocking(False)
            listening.shutdown(socket.SHUT_RDWR)
            while True:
                listening.accept()[0].close()
