"""The attribution in a run, and its card."""

from pathlib import Path

import pytest

from corpus import attribution
from training import model_card
from training.errors import TrainingError

NC = f"Bulbapedia, CC BY-NC-SA 2.5\n3 texts by its authors.\n{attribution.NON_COMMERCIAL}\n"
BY = "A Wiki, CC BY 4.0\n1 text by its authors.\n"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "train.txt"
    path.write_text("A story.\n")
    attribution.put(attribution.beside(path), NC)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint" / "pokemon"
    folder.mkdir(parents=True)
    return folder


def test_the_card_says_what_the_model_was_made_of(corpus: Path, run: Path) -> None:
    model_card.carry([corpus], run, run)
    assert attribution.of_checkpoint(run) == NC
    model_card.write(run, "124M", [corpus])
    card = (run / "README.md").read_text()
    assert "steps" not in card
    (run / "counter").write_text("1200\n")
    model_card.write(run, "124M", [corpus])
    card = (run / "README.md").read_text()
    assert card.startswith("---\n")
    assert "license_name: cc-by-nc-sa-2.5\n" in card
    assert "# pokemon\n" in card
    assert "fine-tuned from 124M (OpenAI's" in card
    assert "on train.txt, 1,200 steps." in card
    assert f"**{attribution.NON_COMMERCIAL}**" in card
    assert card.endswith(f"\n{NC}")


def test_of_ones_own_texts_it_claims_nothing(corpus: Path, run: Path) -> None:
    attribution.beside(corpus).unlink()
    model_card.carry([corpus], run, run)
    assert not (run / attribution.IN_CHECKPOINT).exists()
    model_card.write(run, "mini", [corpus])
    card = (run / "README.md").read_text()
    assert "trained from scratch on train.txt" in card
    assert "license" not in card
    assert "ommercial" not in card


def test_what_the_weights_read_before_stays(corpus: Path, run: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    attribution.put(base / attribution.IN_CHECKPOINT, BY)
    model_card.carry([corpus], base, run)
    assert attribution.of_checkpoint(run) == f"{BY}\n{NC}"
    model_card.write(run, str(base), [corpus])
    assert "fine-tuned from base on" in (run / "README.md").read_text()
    # It goes on with a corpus of one's own.
    attribution.beside(corpus).unlink()
    model_card.carry([corpus], run, run)
    assert attribution.of_checkpoint(run) == f"{BY}\n{NC}"


def test_a_card_that_somebody_made_his_own_stays(corpus: Path, run: Path) -> None:
    (run / "README.md").write_text("My model.\n")
    model_card.write(run, "mini", [corpus])
    assert (run / "README.md").read_text() == "My model.\n"


def test_an_attribution_that_cannot_be_read_is_told(corpus: Path, run: Path) -> None:
    attribution.beside(corpus).write_bytes(b"\xff")
    with pytest.raises(TrainingError, match=r"train\.txt\.attribution"):
        model_card.carry([corpus], run, run)
