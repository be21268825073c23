"""The attribution in a run, and its card."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from corpus import attribution
from engine import Checkpoint, open_source, write_gguf
from tests.fuzz import tiny
from training import history, model_card
from training.errors import TrainingError
from training.history import Start
from training.metrics import Evaluation, Metrics, Step

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


def begin(run: Path, step: int = 0, model: str = "124M", **changes: Any) -> None:
    """Tell the run's folder of a start."""
    start = Start(
        step=step,
        command=f"python train_gpt2.py --model {model}",
        model=model,
        corpus="train.txt",
        documents=1200,
        tokens=345_678,
        engine="torch",
        learning_rate=1e-4,
        settings={},
        versions={"torch": "2.13.0", "Python": "3.11.7"},
    )
    history.add(run, replace(start, **changes))


def card(run: Path) -> str:
    model_card.write(run)
    return (run / "README.md").read_text()


def test_the_card_says_what_the_model_was_made_of(corpus: Path, run: Path) -> None:
    model_card.carry([corpus], "", run)
    assert attribution.of_checkpoint(run) == NC
    begin(run)
    (run / "counter").write_text("1200\n")
    text = card(run)
    assert text.startswith("---\n")
    assert "license_name: cc-by-nc-sa-2.5\n" in text
    assert "# pokemon\n" in text
    assert "fine-tuned from 124M (OpenAI's" in text
    assert "on train.txt, 1,200 steps." in text
    assert f"**{attribution.NON_COMMERCIAL}**" in text
    assert text.endswith(f"\n{NC}")


def test_the_card_says_how_it_was_trained_over_all_starts(run: Path) -> None:
    begin(run)
    begin(run, step=200, command="lost with all its steps")
    settings = {"weight_decay": 0.1, "seed": 7}
    begin(run, step=100, command="python again", learning_rate=0.002, settings=settings)
    measured = Metrics(run, 0)
    for number in (100, 200):
        measured.add(Step(number, 1.0, 1e-3, 0.6 * number, 1024 * number))
    (run / "counter").write_text("200\n")
    assert """
200 steps read 204,800 tokens in 2.0 minutes; the weights are those after step 200.

From the beginning:

    python train_gpt2.py --model 124M

- corpus: train.txt, 1,200 documents, 345,678 tokens
- engine: torch (torch 2.13.0, Python 3.11.7)
- learning rate: 0.0001

After step 100:

    python again

- corpus: train.txt, 1,200 documents, 345,678 tokens
- engine: torch (torch 2.13.0, Python 3.11.7)
- learning rate: 0.002
- other than by default: weight_decay 0.1, seed 7
""" in card(run)


def test_the_card_says_how_good_the_weights_are_that_are_served(run: Path) -> None:
    begin(run)
    measured = Metrics(run, 0)
    for step, loss in [(0, 7.0), (50, 4.0), (100, 3.0), (150, 3.5)]:
        measured.add(Evaluation(step, 0.001 * step, "Wren.", loss, loss / 2))
    (run / "counter").write_text("100\n")
    assert """
|  | step 0 | step 100 |
| --- | --: | --: |
| held out: loss, nats a token | 7.000 | 3.000 |
| held out: perplexity of a token | 1,096.6 | 20.1 |
| held out: bits a byte | 3.500 | 1.500 |
| copied from the corpus, of what it writes | 0.0% | 10.0% |
""" in card(run)


def test_without_documents_held_out_the_card_tells_of_copies_alone(run: Path) -> None:
    begin(run)
    assert "How good" not in card(run)
    Metrics(run, 0).add(Evaluation(0, 0.25, "Wren."))
    text = card(run)
    assert "|  | step 0 |\n| --- | --: |\n| copied from the corpus" in text
    assert "held out" not in text


def test_of_ones_own_texts_it_claims_nothing(corpus: Path, run: Path) -> None:
    attribution.beside(corpus).unlink()
    model_card.carry([corpus], "", run)
    assert not (run / attribution.IN_CHECKPOINT).exists()
    begin(run, model="scratch")
    text = card(run)
    assert "trained from scratch on train.txt" in text
    assert "license" not in text
    assert "ommercial" not in text


def test_what_the_weights_read_before_stays(corpus: Path, run: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    tiny.write_checkpoint(base)
    attribution.put(base / attribution.IN_CHECKPOINT, BY)
    model_card.carry([corpus], model_card.of_weights(Checkpoint(base)), run)
    assert attribution.of_checkpoint(run) == f"{BY}\n{NC}"
    begin(run, model=str(base))
    assert "fine-tuned from base on" in card(run)
    # It goes on with a corpus of one's own.
    attribution.beside(corpus).unlink()
    model_card.carry([corpus], attribution.of_checkpoint(run), run)
    assert attribution.of_checkpoint(run) == f"{BY}\n{NC}"
    begin(run, step=10, model=str(base), corpus="blog.txt")
    assert "on train.txt and blog.txt," in card(run)


def test_a_gguf_file_tells_itself_what_its_weights_read(tmp_path: Path) -> None:
    tiny.write_checkpoint(tmp_path / "run1")
    file = tmp_path / "alone" / "tiny.gguf"
    file.parent.mkdir()
    write_gguf(Checkpoint(tmp_path / "run1"), file, "f16", about={"general.description": BY})
    assert model_card.of_weights(open_source(file)) == BY


def test_a_card_that_somebody_made_his_own_stays(run: Path) -> None:
    (run / "README.md").write_text("My model.\n")
    begin(run)
    assert card(run) == "My model.\n"


def test_an_attribution_that_cannot_be_read_is_told(corpus: Path, run: Path) -> None:
    attribution.beside(corpus).write_bytes(b"\xff")
    with pytest.raises(TrainingError, match=r"train\.txt\.attribution"):
        model_card.carry([corpus], "", run)
