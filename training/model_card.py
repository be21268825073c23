"""README.md of a run: what the model was made of, and on which terms it may be used."""

from collections.abc import Iterable
from pathlib import Path

from corpus import attribution
from corpus.documents import CorpusError
from training import base, run
from training.errors import TrainingError
from training.files import write_text

NAME = "README.md"

_MARK = "<!-- train_gpt2.py writes this file anew; without this line it leaves it as it is. -->"


def carry(corpora: Iterable[Path], earlier: Path, folder: Path) -> None:
    """Leave the attribution of the corpora in a run, and that of what its weights read before.

    earlier: the folder of those weights; the run's own where it goes on.

    Raises TrainingError for an attribution that cannot be read.
    """
    try:
        known = [attribution.of_checkpoint(earlier), *map(attribution.of_corpus, corpora)]
    except CorpusError as error:
        raise TrainingError(str(error)) from error
    attribution.put(folder / attribution.IN_CHECKPOINT, attribution.joined(known))


def write(folder: Path, model: str, corpora: Iterable[Path]) -> None:
    """Write the card of a run that was begun from a model and trained on corpora.

    A card that somebody made his own, by removing the mark at its top, is left alone.
    """
    path = folder / NAME
    if path.exists() and _MARK not in path.read_text(encoding="utf-8", errors="replace"):
        return
    write_text(path, _card(folder, model, corpora))


def _card(folder: Path, model: str, corpora: Iterable[Path]) -> str:
    terms = attribution.of_checkpoint(folder)
    if model == base.MINI:
        origin = "trained from scratch"
    elif model in base.PUBLISHED:
        origin = f"fine-tuned from {model} (OpenAI's weights, under its modified MIT licence)"
    else:
        origin = f"fine-tuned from {Path(model).resolve().name}"
    steps = run.counter(folder)
    lines = ["---", "pipeline_tag: text-generation"]
    if ids := attribution.license_ids(terms):
        lines += ["license: other", f"license_name: {' AND '.join(ids).lower()}"]
    lines += ["---", _MARK, "", f"# {folder.resolve().name}", ""]
    lines.append(
        f"A GPT-2, {origin} on {', then '.join(corpus.name for corpus in corpora)}"
        + (f", {steps:,} steps. " if steps else ". ")
        + "A machine writes what it writes: tell those who read it."
    )
    if attribution.is_non_commercial(terms):
        lines += ["", f"**{attribution.NON_COMMERCIAL}**"]
    lines += ["", "## Whose texts it was trained on", ""]
    lines.append(terms or "No attribution came with the corpus.\n")
    return "\n".join(lines)
