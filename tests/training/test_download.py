"""download: a local server in OpenAI's layout, over lines that break."""

import base64
import hashlib
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from training import TrainingError
from training.download import FILES, download

DATA = "model.ckpt.data-00000-of-00001"


class Server(ThreadingHTTPServer):
    """Serves models/124M/ and misbehaves as told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {f"/models/124M/{name}": name.encode() * 50_000 for name in FILES}
        self.cut_after: list[int] = []  # for the next requests: bytes of the body to send
        self.ranges = True
        self.hash_header = "x-goog-hash"
        self.lie: dict[str, bytes] = {}  # path -> what is sent in place of the file
        self.refuse: list[int] = []  # for the next requests: the status to answer
        self.requests: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.requests.append((self.path.rpartition("/")[2], wanted))
        if server.refuse or self.path not in server.files:
            self.send_error(server.refuse.pop(0) if server.refuse else 404)
            return
        true = server.files[self.path]
        body = server.lie.get(self.path, true)
        begin = 0
        if wanted and server.ranges:
            begin = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if begin >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        md5 = base64.b64encode(hashlib.md5(true).digest()).decode()
        if server.hash_header == "x-goog-hash":
            self.send_header("x-goog-hash", f"crc32c=AAAAAA==,md5={md5}")
        elif server.hash_header:
            self.send_header(server.hash_header, md5)
        self.send_header("Content-Length", str(len(body) - begin))
        self.end_headers()
        cut = server.cut_after.pop(0) if server.cut_after else len(body)
        self.wfile.write(body[begin : begin + cut])

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(server: Server, models: Path, name: str = "124M") -> Path:
    return download(name, models, server.url, sleep=lambda _seconds: None)


def assert_complete(server: Server, folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == set(FILES)
    for name in FILES:
        assert (folder / name).read_bytes() == server.files[f"/models/124M/{name}"]


def test_fetches_the_layout_once(server: Server, tmp_path: Path) -> None:
    folder = fetch(server, tmp_path)
    assert folder == tmp_path / "124M"
    assert_complete(server, folder)
    assert [name for name, _ in server.requests] == list(FILES)
    fetch(server, tmp_path)
    assert len(server.requests) == len(FILES)


def test_cut_lines_are_resumed_where_they_broke(server: Server, tmp_path: Path) -> None:
    server.cut_after = [100_000, 0, 0, 50_000]
    assert_complete(server, fetch(server, tmp_path))
    asked = [wanted for name, wanted in server.requests if name == FILES[0]]
    assert asked[0] is None
    begins = [int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) for wanted in asked[1:]]
    assert len(begins) == 4
    assert begins[0] == begins[1] == begins[2]
    assert 80_000 < begins[0] <= 100_000
    assert begins[0] + 30_000 < begins[3] <= begins[0] + 50_000


def test_without_range_it_begins_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.cut_after = [100_000, 300_000]
    assert_complete(server, fetch(server, tmp_path))


def test_a_kill_leaves_a_part_that_the_next_run_continues(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "124M" / f"{DATA}.part"
    part.parent.mkdir()
    part.write_bytes(server.files[f"/models/124M/{DATA}"][:70_000])
    assert_complete(server, fetch(server, tmp_path))
    assert (DATA, "bytes=70000-") in server.requests


@pytest.mark.parametrize("length", [70_000, None])
def test_a_part_of_something_else_is_thrown_away(
    server: Server, tmp_path: Path, length: int | None
) -> None:
    whole = len(server.files[f"/models/124M/{DATA}"])
    part = tmp_path / "124M" / f"{DATA}.part"
    part.parent.mkdir()
    part.write_bytes(b"?" * (length or whole))
    assert_complete(server, fetch(server, tmp_path))


@pytest.mark.parametrize("header", ["x-goog-hash", "Content-MD5"])
def test_a_wrong_hash_is_an_error(server: Server, tmp_path: Path, header: str) -> None:
    server.hash_header = header
    path = f"/models/124M/{DATA}"
    server.lie[path] = bytes(len(server.files[path]))
    with pytest.raises(TrainingError, match=f"{DATA}.*MD5"):
        fetch(server, tmp_path)
    assert not (tmp_path / "124M" / DATA).exists()
    assert not (tmp_path / "124M" / "checkpoint").exists()


def test_a_server_without_hashes_will_do(server: Server, tmp_path: Path) -> None:
    server.hash_header = ""
    assert_complete(server, fetch(server, tmp_path))


def test_no_such_model(server: Server, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="404"):
        fetch(server, tmp_path, "125M")
    assert len(server.requests) == 1


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.refuse = [503, 500]
    assert_complete(server, fetch(server, tmp_path))


def test_offline_says_what_to_do(server: Server, tmp_path: Path) -> None:
    server.server_close()
    with pytest.raises(TrainingError, match="--model mini"):
        fetch(server, tmp_path)


def test_a_line_that_always_breaks_ends_in_an_error(server: Server, tmp_path: Path) -> None:
    server.cut_after = [100_000] + [0] * 50
    with pytest.raises(TrainingError, match="what has arrived is kept"):
        fetch(server, tmp_path)
    assert (tmp_path / "124M" / f"{FILES[0]}.part").stat().st_size > 80_000
