"""A small corpus, and no MLflow server."""

from pathlib import Path

import pytest

_KEEPERS = ["Wren", "Ash Bramley", "old Mr. Tamsin", "a girl called Pip", "the café's owner"]
_DEEDS = [
    "finds a lantern under the bridge",
    "can't sleep for the noise of 12 frogs",
    "loses a race against the mill-wheel",
    "hides behind the baker's cart",
]
_ENDS = ['"We will be back!" they shout.', "The rain stops at last.", "Nobody says a word."]


@pytest.fixture(autouse=True)
def _untracked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's MLflow server is not for the runs of tests."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def documents() -> list[str]:
    """Sixty short documents of two paragraphs."""
    return [f"{keeper} {deed}.\n\n{end}" for keeper in _KEEPERS for deed in _DEEDS for end in _ENDS]


@pytest.fixture(scope="session")
def corpus(documents: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documents as prepare_corpus.py joins them."""
    path = tmp_path_factory.mktemp("corpus") / "train.txt"
    path.write_text("\n<|endoftext|>\n".join(documents) + "\n", encoding="utf-8")
    return path
