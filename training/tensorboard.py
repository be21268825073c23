"""TensorBoard's event files, written without TensorFlow.

A file is a row of TFRecords (https://www.tensorflow.org/tutorials/load_data/tfrecord), each of them
an Event (tensorflow/core/util/event.proto), which may hold a Summary
(tensorflow/core/framework/summary.proto). The formats have stood still for years, and little of
them is needed. tensorboardX would write them, too, but its import takes a second and 200 MB, and a
kill loses what waits in its queue; here an event is in the file when `EventFile.add` returns.
"""

import struct
import time
from collections.abc import Mapping
from ctypes import c_float
from pathlib import Path

from engine.bundle import crc32c
from engine.bundle import masked_crc32c as masked
from engine.bundle_writer import varint

_PREFIX = "events.out.tfevents."
_START = 1  # SessionLog.SessionStatus
_STRING = 7  # DataType.DT_STRING
_TENSOR = 2  # DataClass.DATA_CLASS_TENSOR


class EventFile:
    """The one event file in a folder; those of earlier starts are removed."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        folder.mkdir(exist_ok=True)
        for earlier in folder.glob(f"{_PREFIX}*"):
            earlier.unlink()
        now = time.time()
        self._file = (folder / f"{_PREFIX}{int(now)}").open("wb")
        self._append(now, 0, _field(3, b"brain.Event:2"))  # file_version
        # A TensorBoard that has read an earlier file forgets that: this one tells it again.
        self._append(now, 0, _field(7, _field(1, _START)))  # session_log

    def add(
        self, seconds: float, step: int, scalars: Mapping[str, float], texts: Mapping[str, str]
    ) -> None:
        """Appends an event.

        Args:
            seconds: its time, since 1970.
            scalars: by their tags; a tag's part before a slash groups charts.
            texts: by their tags, in Markdown.
        """
        values = [_field(1, tag.encode()) + _field(2, value) for tag, value in scalars.items()]
        values += [_text(tag, text) for tag, text in texts.items()]
        summary = b"".join(_field(1, value) for value in values)
        self._append(seconds, step, _field(5, summary))
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _append(self, seconds: float, step: int, what: bytes) -> None:
        """A TFRecord: length, its checksum, an Event, its checksum."""
        event = b"\x09" + struct.pack("<d", seconds) + _field(2, step) + what
        length = struct.pack("<Q", len(event))
        self._file.write(length + _checksum(length) + event + _checksum(event))


def _checksum(data: bytes) -> bytes:
    return struct.pack("<I", masked(crc32c(data)))


def _text(tag: str, text: str) -> bytes:
    """Summary.Value: tag = 1, tensor = 8, metadata = 9, as the plugin for texts wants them."""
    # TensorProto: dtype = 1, tensor_shape = 2, of one dimension of size 1, string_val = 8.
    tensor = _field(1, _STRING) + _field(2, _field(2, _field(1, 1))) + _field(8, text.encode())
    # SummaryMetadata: plugin_data = 1 { plugin_name = 1 }, data_class = 4.
    metadata = _field(1, _field(1, b"text")) + _field(4, _TENSOR)
    return _field(1, tag.encode()) + _field(8, tensor) + _field(9, metadata)


def _field(number: int, value: int | float | bytes) -> bytes:
    """A field of a protobuf: an integer, a float32 or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        # Infinite where float32 ends; struct would raise an error.
        return varint(number << 3 | 5) + struct.pack("<f", c_float(value).value)
    return varint(number << 3 | 2) + varint(len(value)) + value
