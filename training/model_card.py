"""README.md of a run: what the model was made of, and on which terms it may be used."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from corpus import attribution
from corpus.documents import CorpusError
from engine import GgufModel, Source
from training import base, history, metrics, run
from training.errors import TrainingError
from training.files import write_text
from training.history import Start
from training.metrics import Evaluation, Step

NAME = "README.md"

_MARK = "<!-- train_gpt2.py writes this file anew; without this line it leaves it as it is. -->"


def carry(corpora: Iterable[Path], earlier: str, folder: Path) -> None:
    """Leave the attribution of the corpora in a run, and that of what its weights read before.

    earlier: the latter, see `of_weights`.

    Raises TrainingError for an attribution that cannot be read.
    """
    with _readable():
        known = [earlier, *map(attribution.of_corpus, corpora)]
    attribution.put(folder / attribution.IN_CHECKPOINT, attribution.joined(known))


def of_weights(source: Source) -> str:
    """The attribution in a checkpoint's folder, or in a GGUF file that stands alone.

    Raises TrainingError where it cannot be read.
    """
    about = source.about if isinstance(source, GgufModel) else {}
    with _readable():
        beside = attribution.of_checkpoint(source.prefix.parent)
    return beside or about.get("general.description", "")


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except CorpusError as error:
        raise TrainingError(str(error)) from error


def write(folder: Path) -> None:
    """Write the card of a run from what its folder tells of it.

    A card that somebody made his own, by removing the mark at its top, is left alone.
    """
    path = folder / NAME
    if path.exists() and _MARK not in path.read_text(encoding="utf-8", errors="replace"):
        return
    write_text(path, "\n".join(_lines(folder)))


def _lines(folder: Path) -> Iterator[str]:
    starts = list(history.read(folder))
    measured = list(metrics.read(folder))
    steps = [m for m in measured if isinstance(m, Step)]
    served = run.counter(folder)
    terms = attribution.of_checkpoint(folder)
    yield from ("---", "pipeline_tag: text-generation")
    if ids := attribution.license_ids(terms):
        yield from ("license: other", f"license_name: {' AND '.join(ids).lower()}")
    yield from ("---", _MARK, "", f"# {folder.resolve().name}", "")
    corpora = " and ".join(dict.fromkeys(start.corpus for start in starts))
    yield (
        f"A GPT-2, {_origin(starts[0].model)} on {corpora}, {served:,} steps. "
        "A machine writes what it writes: tell those who read it."
    )
    if attribution.is_non_commercial(terms):
        yield from ("", f"**{attribution.NON_COMMERCIAL}**")
    yield from ("", "## How it was trained", "")
    if steps:
        last = steps[-1]
        yield (
            f"{last.step:,} steps read {last.tokens:,} tokens in {last.seconds / 60:,.1f} minutes; "
            f"the weights are those after step {served:,}."
        )
    for start in starts:
        yield from _told(start)
    yield from _quality([m for m in measured if isinstance(m, Evaluation)], served)
    yield from ("", "## Whose texts it was trained on", "")
    yield terms or "No attribution came with the corpus.\n"


def _origin(model: str) -> str:
    if model == base.SCRATCH:
        return "trained from scratch"
    if model in base.PUBLISHED:
        return f"fine-tuned from {model} (OpenAI's weights, under its modified MIT licence)"
    return f"fine-tuned from {Path(model).resolve().stem}"


def _told(start: Start) -> Iterator[str]:
    when = f"After step {start.step:,}" if start.step else "From the beginning"
    yield from ("", f"{when}:", "", f"    {start.command}", "")
    yield f"- corpus: {start.corpus}, {start.documents:,} documents, {start.tokens:,} tokens"
    versions = ", ".join(f"{name} {version}" for name, version in start.versions.items())
    yield f"- engine: {start.engine} ({versions})"
    yield f"- learning rate: {start.learning_rate:g}"
    if start.settings:
        settings = ", ".join(f"{name} {value}" for name, value in start.settings.items())
        yield f"- other than by default: {settings}"


def _quality(evaluations: Sequence[Evaluation], served: int) -> Iterator[str]:
    """A table of the first evaluation and of the last that the served weights had."""
    had = [evaluation for evaluation in evaluations if evaluation.step <= served]
    if not had:
        return
    columns = had[:1] + had[1:][-1:]
    yield from ("", "## How good it is", "")
    yield "|  | " + " | ".join(f"step {e.step:,}" for e in columns) + " |"
    yield "| --- |" + " --: |" * len(columns)
    if all(e.valid_loss is not None for e in columns):
        yield _row("held out: loss, nats a token", [f"{e.valid_loss:.3f}" for e in columns])
        yield _row("held out: perplexity of a token", [f"{e.perplexity:,.1f}" for e in columns])
        yield _row("held out: bits a byte", [f"{e.bits_per_byte:.3f}" for e in columns])
    yield _row("copied from the corpus, of what it writes", [f"{e.copied:.1%}" for e in columns])


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"
