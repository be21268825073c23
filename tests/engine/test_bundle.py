"""The reader of TensorFlow's tensor bundle, on real files and on damaged ones."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import CheckpointError
from engine._native import lib
from engine.bundle import DT_FLOAT, masked_crc32c, read_index
from engine.checkpoint import HParams, tensors
from tests.fuzz.tiny import MAGIC, checksum, varint


def test_crc32c_is_castagnolis() -> None:
    """The check value of the CRC catalogue, and RFC 3720's test vectors (B.4)."""
    assert lib.gpt2_crc32c(0, b"123456789", 9) == 0xE3069283
    assert lib.gpt2_crc32c(0, bytes(32), 32) == 0x8A9136AA
    assert lib.gpt2_crc32c(0, bytes(range(32)), 32) == 0x46DD794E
    assert lib.gpt2_crc32c(lib.gpt2_crc32c(0, b"1234", 4), b"56789", 5) == 0xE3069283
    assert masked_crc32c(0) == 0xA282EAD8


def test_reads_a_real_index_of_a_fine_tuned_124m(shared_data: Path) -> None:
    folder = shared_data / "gpt2" / "broken_checkpoints" / "missing_data"
    entries = read_index(folder / "model-24000.index")
    expected = dict(tensors(HParams(50257, 1024, 768, 12, 12)))
    assert entries.keys() == expected.keys()
    assert {name: entry.shape for name, entry in entries.items()} == expected
    assert {entry.dtype for entry in entries.values()} == {DT_FLOAT}
    # The tensors lie side by side and fill the data file of OpenAI's 124M.
    spans = sorted((entry.offset, entry.offset + entry.size) for entry in entries.values())
    assert spans[0][0] == 0 and spans[-1][1] == 497_759_232
    assert all(left[1] == right[0] for left, right in itertools.pairwise(spans))


def test_damage_is_noticed(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """One changed byte, or a cut anywhere: an error, never another exception or other tensors."""
    good = (tiny_checkpoint / "model-3.index").read_bytes()
    entries = read_index(tiny_checkpoint / "model-3.index")
    path = tmp_path / "model.index"

    @settings(max_examples=500, deadline=None)
    @given(st.integers(0, len(good) - 1), st.integers(1, 255), st.booleans())
    def check(at: int, change: int, cut: bool) -> None:
        path.write_bytes(
            good[:at] if cut else good[:at] + bytes([good[at] ^ change]) + good[at + 1 :]
        )
        try:
            assert read_index(path) == entries  # the metaindex and some padding matter to nobody
        except CheckpointError as error:
            assert "model.index" in str(error)

    check()


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=40))
def test_a_strangers_bytes_are_refused(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, footer: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "stranger.index"
    path.write_bytes(body + footer.ljust(40, b"\0") + MAGIC)
    with pytest.raises(CheckpointError):
        read_index(path)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_damaged_entries_with_right_checksums_are_refused(
    tmp_path_factory: pytest.TempPathFactory, key: bytes, value: bytes
) -> None:
    """A table whose blocks are sound, so that the fuzz reaches the protocol buffers."""
    path = tmp_path_factory.getbasetemp() / "sound.index"
    path.write_bytes(table({b"a" + key: value}))
    try:
        read_index(path)
    except CheckpointError as error:
        assert "sound.index" in str(error)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({b"a": (0, 8), b"b": (8, 8), b"c": (4, 8)}, "its tensors overlap"),
        ({b"a": (0, 8), b"b": (0, 8)}, "its tensors overlap"),
        ({b"a": (0, 8), b"b": (16, 0), b"c": (4, 0), b"d": (8, 24)}, None),
    ],
)
def test_tensors_lie_apart(
    tmp_path: Path, entries: dict[bytes, tuple[int, int]], message: str | None
) -> None:
    """A small data file that is read a thousand times would unfold to a huge model."""
    path = tmp_path / "model.index"
    path.write_bytes(
        table({k: b"\x20" + varint(at) + b"\x28" + varint(n) for k, (at, n) in entries.items()})
    )
    if message is None:
        assert [(e.offset, e.size) for e in read_index(path).values()] == [*entries.values()]
    else:
        with pytest.raises(CheckpointError, match=message):
            read_index(path)


def test_a_tensor_of_many_dimensions(tmp_path: Path) -> None:
    dims = 9 * b"\x12\x02\x08\x01"
    (tmp_path / "model.index").write_bytes(table({b"a": b"\x12" + varint(len(dims)) + dims}))
    with pytest.raises(CheckpointError, match="too many dimensions"):
        read_index(tmp_path / "model.index")


def test_a_block_is_read_once(tmp_path: Path) -> None:
    """Many handles to one large block would make a small file cost hours."""
    entries = block({b"a%05d" % i: b"" for i in range(2000)})
    handle = varint(0) + varint(len(entries) - 5)
    (tmp_path / "model.index").write_bytes(
        table_of(entries, {b"b%05d" % i: handle for i in range(2000)})
    )
    with pytest.raises(CheckpointError, match="its blocks overlap"):
        read_index(tmp_path / "model.index")


def block(entries: dict[bytes, bytes]) -> bytes:
    """A block of the table without shared prefixes, with one restart point and its checksum."""
    body = b"".join(
        varint(0) + varint(len(key)) + varint(len(value)) + key + value
        for key, value in entries.items()
    )
    body += (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + b"\0"
    return body + checksum(body).to_bytes(4, "little")


def table(entries: dict[bytes, bytes]) -> bytes:
    data = block(entries)
    return table_of(data, {b"z": varint(0) + varint(len(data) - 5)})


def table_of(data: bytes, handles: dict[bytes, bytes]) -> bytes:
    index = block(handles)
    footer = varint(0) + varint(0) + varint(len(data)) + varint(len(index) - 5)
    return data + index + footer.ljust(40, b"\0") + MAGIC
