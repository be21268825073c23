"""tensorboard: event files, read back by TensorFlow."""

import math
import struct
from pathlib import Path

import pytest

from training.tensorboard import EventFile


def test_tensorflow_reads_what_was_written(tmp_path: Path) -> None:
    import tensorflow as tf

    file = EventFile(tmp_path / "events")
    file.add(1.8e9 + 0.25, 300, {"train/loss": 0.1, "größe": math.inf}, {})
    file.add(1.8e9 + 1, 2**40, {"valid/perplexity": 1e300}, {"text": "Wren\n" * 100})
    [path] = (tmp_path / "events").iterdir()
    version, start, first, second = tf.compat.v1.train.summary_iterator(str(path))
    file.close()

    assert version.file_version == "brain.Event:2"
    assert start.session_log.status == tf.compat.v1.SessionLog.START
    assert start.step == 0
    assert (first.wall_time, first.step) == (1.8e9 + 0.25, 300)
    values = [(v.tag, v.simple_value) for v in first.summary.value]
    [tenth] = struct.unpack("<f", struct.pack("<f", 0.1))
    assert values == [("train/loss", tenth), ("größe", math.inf)]
    number, text = second.summary.value
    assert (second.step, number.simple_value) == (2**40, math.inf)
    assert text.metadata.plugin_data.plugin_name == "text"
    assert tf.make_ndarray(text.tensor).tolist() == [b"Wren\n" * 100]


def test_an_earlier_file_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for second in (1.8e9, 1.8e9 + 1):
        monkeypatch.setattr("time.time", lambda second=second: second)
        EventFile(tmp_path).close()
    assert [path.name for path in tmp_path.iterdir()] == ["events.out.tfevents.1800000001"]
