"""The writer of TensorFlow's tensor bundle, read back by TensorFlow itself and by our reader."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Checkpoint
from engine.bundle import Bundle, index_file
from engine.bundle_writer import Tensor, write_bundle
from engine.checkpoint import tensors

SHAPES = st.lists(st.integers(0, 5), max_size=3).map(tuple)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)


def tensor(name: str, array: np.ndarray) -> Tensor:
    return Tensor(name, array.shape, bytearray(array.astype("<f4").tobytes()))


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(NAMES, SHAPES, max_size=30))
def test_our_reader_finds_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, shapes: dict[str, tuple[int, ...]]
) -> None:
    prefix = tmp_path_factory.mktemp("bundle") / "model-7"
    random = np.random.default_rng(0)
    arrays = {name: random.normal(size=shape) for name, shape in shapes.items()}
    write_bundle(prefix, (tensor(name, array) for name, array in arrays.items()))
    bundle = Bundle(prefix)
    for name, array in arrays.items():
        data = bundle.read(name, bundle.find(name, array.shape))
        assert bytes(data) == array.astype("<f4").tobytes()
    assert sorted(path.name for path in prefix.parent.iterdir()) == [
        "model-7.data-00000-of-00001",
        "model-7.index",
    ]


def test_tensorflow_reads_a_checkpoint_written_here(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """All tensors of a GPT-2, more than one hundred, by name, shape and value."""
    tf = pytest.importorskip("tensorflow")
    source = Checkpoint(tiny_checkpoint)
    layout = list(tensors(source.hparams))
    write_bundle(
        tmp_path / "model-1",
        (
            Tensor(name, shape, data)
            for (name, shape), data in zip(layout, source.read_tensors(), strict=True)
        ),
    )
    theirs = tf.train.load_checkpoint(str(source.prefix))
    ours = tf.train.load_checkpoint(str(tmp_path / "model-1"))
    assert ours.get_variable_to_shape_map().keys() == dict(layout).keys()
    for name, shape in layout:
        assert ours.get_tensor(name).shape == shape
        np.testing.assert_array_equal(ours.get_tensor(name), theirs.get_tensor(name))


def test_a_writer_that_fails_leaves_the_earlier_bundle(tmp_path: Path) -> None:
    prefix = tmp_path / "model-1"
    write_bundle(prefix, [tensor("a", np.ones(3))])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def cut() -> object:
        yield tensor("a", np.zeros(3))
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write_bundle(prefix, cut())  # type: ignore[arg-type]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert index_file(prefix).name in before
