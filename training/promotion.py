"""Whether a new run is as good as the one that is served, and putting it in its place.

The service watches the folder checkpoint/<run>. Promotion renames it to a free name beside it, and
the new run to its name; going back does the same the other way. The file `.<run>.previous` beside
it lists the names that were set aside, a line each, and is written before the first of the two
renames: a kill between them leaves no folder <run>, and `go_back` puts the last of the list there.
Meanwhile the service goes on with what it has loaded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

from tqdm import tqdm

from corpus import copies
from corpus.copies import CopyIndex
from engine import Model
from training import evaluation, measures, run
from training.comparison import FIRST_SEED, LENGTH, markdown
from training.errors import TrainingError
from training.files import write_text

_TEXTS = 128
_MOST_CHARACTERS = 1 << 18  # of documents held out, spread over all: seconds of reading

# What is let pass: by how much more bits the documents held out may take, as a share, and how much
# more of what is written may be copied. Where 2% is copied, in runs of a line, chance alone makes
# 0.4% of difference between two times so many texts.
_WORSE = 0.005
_COPIED_MORE = 0.01


@dataclass(frozen=True)
class Measured:
    """What is known of a run."""

    held_out: float
    """Bits a byte of the documents held out of the corpus."""
    picks: float
    """Bits a byte of the picks held out, of a pick on average: long ones do not count for more."""
    copied: float
    """Share of what it writes, by default and before the gate."""
    words: float
    """Of a text that it writes, on average."""


def measure(
    folder: Path, held_out: Sequence[str], picks: Sequence[str], index: CopyIndex
) -> Measured:
    """Measure a run as it is served, quantised, with progress bars.

    Raises CheckpointError for a broken one, CorpusError for a damaged index.
    """
    model = Model.load(folder)
    some = held_out[:: 1 + sum(map(len, held_out)) // _MOST_CHARACTERS]
    predict = partial(measures.predict, model, stride=max(1, model.hparams.n_ctx // 2))
    bar = partial(tqdm, desc=f"{folder.name} reads", leave=False)
    of_corpus = predict(some, progress=partial(bar, unit="window")).bits_per_byte
    of_picks = fmean(predict([pick]).bits_per_byte for pick in bar(picks, unit="pick"))
    written = evaluation.write(
        model,
        texts=_TEXTS,
        length=LENGTH,
        seed=FIRST_SEED,
        progress=partial(
            tqdm, desc=f"{folder.name} writes", unit="token", total=LENGTH, leave=False
        ),
    )
    model.close()
    writing = measures.describe(written, index)
    return Measured(of_corpus, of_picks, writing.copied or 0.0, writing.words)


def compare(
    old: Path, new: Path, held_out: Sequence[str], picks: Sequence[str]
) -> tuple[str, list[str]]:
    """Measure two runs side by side; returns a table and what tells against the new one.

    What either copies is looked up in the new one's corpus: the old one's, but for picks that are
    gone. Raises as `measure`.
    """
    index = CopyIndex.open(new / copies.IN_CHECKPOINT)
    measured = [measure(folder, held_out, picks, index) for folder in (old, new)]

    def row(name: str, tell: Callable[[Measured], str]) -> list[str]:
        return [name, *map(tell, measured)]

    table = markdown(
        [
            ["", str(old), str(new)],
            row("documents held out, bits a byte", lambda m: f"{m.held_out:.4f}"),
            row("picks held out, bits a byte", lambda m: f"{m.picks:.4f}"),
            row(f"copied, of {_TEXTS} texts", lambda m: f"{m.copied:.2%}"),
            row("words a text", lambda m: f"{m.words:.1f}"),
        ]
    )
    return table, objections(*measured)


def objections(old: Measured, new: Measured) -> list[str]:
    """What tells against a new run; nothing if it is not worse."""
    against = []
    if new.held_out > old.held_out * (1 + _WORSE):
        against.append(f"it predicts the documents held out worse, by more than {_WORSE:.1%}")
    if new.picks >= old.picks:
        against.append("it does not predict the picks held out better")
    if new.copied > old.copied + _COPIED_MORE:
        against.append(f"it copies more, by more than {_COPIED_MORE:.0%} of what it writes")
    return against


def promote(served: Path, new: Path) -> Path:
    """Put a new run in the place of the served one; returns the name that this has now."""
    aside = run.free_name(served)
    _remember(served, [*_earlier(served), aside])
    served.rename(aside)
    new.rename(served)
    return aside


def go_back(served: Path) -> tuple[Path, Path | None]:
    """Put the run in its place again that was set aside last, also where a kill left none there.

    Returns:
        The name that it had, and the one that the run gone back from has now, if there was one.

    Raises:
        TrainingError: there is none.
    """
    earlier = _earlier(served)
    if not earlier:
        raise TrainingError(f"nothing was set aside for {served}: there is none to go back to")
    *before, last = earlier
    aside = run.set_aside(served) if served.exists() else None
    last.rename(served)
    _remember(served, before)
    return last, aside


def check_is_there(served: Path) -> None:
    """Raises TrainingError where there is no run, and says what to do if a kill left none."""
    if run.begun(served):
        return
    if _earlier(served):
        raise TrainingError(
            f"{served} is not there: a promotion was cut short. --go-back puts the previous run "
            "in its place again"
        )
    raise TrainingError(f"{served} is not there: name the run that is served with --run")


def _list(served: Path) -> Path:
    return served.with_name(f".{served.name}.previous")


def _earlier(served: Path) -> list[Path]:
    """The runs set aside by promotions that are still there, the last one last."""
    path = _list(served)
    names = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [folder for name in names if run.begun(folder := served.with_name(name))]


def _remember(served: Path, folders: Sequence[Path]) -> None:
    write_text(_list(served), "".join(f"{folder.name}\n" for folder in folders))
