"""Fetch OpenAI's published GPT-2 models into gpt-2-simple's models/<name>/ folder.

The layout is that of gpt_2_simple.download_gpt2 (https://github.com/minimaxir/gpt-2-simple),
so either program finds what the other has fetched. A file is fetched beside its place and
renamed when it is whole: a file under its own name is never a part of one.
"""

import base64
import binascii
import hashlib
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import requests
from tqdm import tqdm

from training.errors import TrainingError

BASE_URL = "https://openaipublic.blob.core.windows.net/gpt-2"
FILES = (
    "hparams.json",
    "encoder.json",
    "vocab.bpe",
    "model.ckpt.meta",
    "model.ckpt.index",
    "model.ckpt.data-00000-of-00001",
    "checkpoint",  # last: it is what makes the folder a checkpoint
)
_ATTEMPTS = 4  # in a row without a single new byte
_TIMEOUT = 30.0  # seconds without an answer or a byte
_CHUNK = 1 << 14  # what a broken line loses at most


def download(
    name: str,
    models: Path,
    base_url: str = BASE_URL,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Fetch what is missing of the model into models/name and return that folder.

    Begun files are continued by a Range request; sizes, and MD5 sums where the server gives
    them (x-goog-hash or Content-MD5), are verified.

    Raises:
        TrainingError: the server cannot be reached, has no such model, or what it sends
            does not match the size or hash that it announces.
    """
    folder = models / name
    missing = [file for file in FILES if not (folder / file).is_file()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        with requests.Session() as session:
            # A compressed answer would have another length and hash than the file.
            session.headers["Accept-Encoding"] = "identity"
            for file in missing:
                _fetch(session, f"{base_url}/models/{name}/{file}", folder / file, sleep)
    return folder


class _Corrupt(Exception):
    """The bytes received are not the ones announced."""


def _fetch(session: requests.Session, url: str, path: Path, sleep: Callable[[float], None]) -> None:
    part = path.with_name(path.name + ".part")
    failures = restarts = 0
    while True:
        before = part.stat().st_size if part.is_file() else 0
        try:
            _receive(session, url, part)
            part.replace(path)
            return
        except _Corrupt as error:
            # Most likely an old part of another version: once more from the first byte.
            part.unlink()
            restarts += 1
            if restarts == 2:
                raise TrainingError(f"{url}: {error}; try again later") from error
        except (requests.RequestException, OSError) as error:
            if not isinstance(error, requests.RequestException):
                raise TrainingError(f"{part}: {error.strerror}") from error
            grown = part.is_file() and part.stat().st_size > before
            failures = 0 if grown else failures + 1
            if failures == _ATTEMPTS:
                raise TrainingError(
                    f"cannot download {url} ({type(error).__name__}); what has arrived is kept: "
                    f"run the same command again when online, copy the model's files into "
                    f"{path.parent} by hand, or train without a network with --model mini"
                ) from error
            pause = 2.0**failures
            tqdm.write(f"{type(error).__name__}; trying again in {pause:g} s", file=sys.stderr)
            sleep(pause)


def _receive(session: requests.Session, url: str, part: Path) -> None:
    """Append to part what it still lacks, then verify the whole."""
    have = part.stat().st_size if part.is_file() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with session.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        if response.status_code == 416:  # nothing comes after what is here
            raise _Corrupt("the partial download is not the beginning of the file")
        if 400 <= response.status_code < 500:
            raise TrainingError(f"{url}: the server answers {response.status_code}")
        response.raise_for_status()
        if response.status_code != 206:  # the server does not know Range: from the first byte
            have = 0
        size = _total_size(response, have)
        md5 = _announced_md5(response)
        with (
            part.open("ab" if have else "wb") as file,
            tqdm(
                desc=f"Fetching {part.stem}",
                total=size,
                initial=have,
                unit="B",
                unit_scale=True,
                unit_divisor=1024,
            ) as bar,
        ):
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    received = part.stat().st_size
    if size is not None and received < size:
        raise requests.ConnectionError(f"{received} of {size} bytes")
    if size is not None and received > size:
        raise _Corrupt(f"{received} bytes received, {size} announced")
    if md5 is not None and md5 != _md5(part):
        raise _Corrupt("the file received does not have the MD5 sum that the server announces")


def _total_size(response: requests.Response, have: int) -> int | None:
    """The whole file's length by Content-Range or Content-Length."""
    if response.status_code == 206:
        content_range = response.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", content_range)
        if not match or int(match[1]) != have:
            raise _Corrupt(f"asked for bytes from {have}, was sent '{content_range}'")
        return int(match[2])
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _announced_md5(response: requests.Response) -> bytes | None:
    """The whole file's MD5 as Google Cloud Storage or Azure Blob Storage give it."""
    match = re.search(r"\bmd5=([^,\s]+)", response.headers.get("x-goog-hash", ""))
    if match:
        text = match[1]
    elif response.status_code == 200:  # with 206 it may be the sum of the range
        text = response.headers.get("Content-MD5", "")
    else:
        text = ""
    try:
        return base64.b64decode(text, validate=True) or None
    except binascii.Error:
        return None


def _md5(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
