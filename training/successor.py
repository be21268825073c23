"""The run that follows the served one: learned from what visitors picked, and promoted if it is not
worse."""

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from tqdm import tqdm

from corpus import copies, read_documents, write_documents
from corpus.copies import CopyIndex
from corpus.documents import held_out_beside
from engine import Tokenizer, open_source
from engine.tokenizer import compile_vocabulary
from training import dataset, feedback, model_card, promotion
from training.errors import TrainingError
from training.feedback import Feedback, Pick
from training.finetune import Corpus, Paths, finetune
from training.plan import FINE_TUNING, Plan

# Gentle: the weights know the language of the picks already, which come again the next time, with
# others.
_RATE = 1e-5  # a tenth of what is usual
_REPLAY = 0.5  # half of what is read is the corpus: a model that learns from itself alone withers
_READ = 2  # times as many tokens as the picks have: each of theirs once
_EVALUATIONS = 4

_PICKED = "a story that visitors picked"


@dataclass(frozen=True)
class Outcome:
    """What became of the successor."""

    stopped: signal.Signals | None = None
    """The signal that ended its training early; then it was not compared."""
    objections: tuple[str, ...] = ()
    """Why it was not promoted; none if it was."""


def learn(
    served: Path,
    corpus: Path,
    valid: Path | None,
    picks: Iterable[Pick],
    *,
    refusal: Callable[[str, CopyIndex], str | None],
    per_visitor: int,
    options: Mapping[str, Any],
    engine: str,
    precision: str | None,
    command: str,
    say: Callable[[str], None],
) -> Outcome:
    """Choose documents, fine-tune from the served weights, compare, and promote.

    The documents go beside the corpus, into picks.txt and picks.valid.txt, the new run beside the
    served one, into <run>.feedback; each replaces what an earlier call left there.

    Args:
        corpus, valid: what the run was trained on, and what was held out of it.
        refusal: why the service's gate would refuse a text, given the corpus's copy index.
        options: values of the plan that are not to be the usual ones.
        engine, precision, command: as of `finetune`.

    Raises:
        TrainingError, CheckpointError, CorpusError, OSError: something that the user can put right.
    """
    promotion.check_is_there(served)
    dataset.check(corpus)
    if valid is None:
        raise TrainingError(
            f"no documents are held out of {corpus}, so nobody can tell whether a new run is worse;"
            " prepare_corpus.py holds some out, or name them with --valid"
        )
    dataset.check(valid)
    new = served.with_name(f"{served.name}.feedback")
    picked = corpus.with_name("picks.txt")
    with _copy_index(corpus) as index:
        found = feedback.choose(
            picks,
            tqdm(
                chain(read_documents(corpus), read_documents(valid)),
                desc="Looking for duplicates",
                unit=" documents",
                leave=False,
            ),
            refusal=lambda text: refusal(text, index),
            per_visitor=per_visitor,
        )
        _tell(found, say)
        found.check()
        write_documents(found.train, picked)
        write_documents(found.held_out, held_out_beside(picked))
        if new.exists():
            shutil.rmtree(new)
        new.mkdir()
        _index_both(corpus, index, picked, new)

    plan = _plan(served, found.train, options)
    corpora = [
        Corpus(corpus, valid, 0, plan.learning_rate),
        Corpus(picked, held_out_beside(picked), plan.steps, plan.learning_rate),
    ]
    stopped = finetune(
        str(served),
        Paths(corpora, new, models=served.parent, models_url=""),  # it is no published model
        plan,
        command=command,
        engine=engine,
        precision=precision,
        fresh=False,
        say=say,
    )
    if stopped:
        return Outcome(stopped=stopped)
    table, objections = promotion.compare(served, new, list(read_documents(valid)), found.held_out)
    say(f"\n{table}")
    if objections:
        say(f"{new} is not promoted, and {served} stays: {'; '.join(objections)}.")
    else:
        aside = promotion.promote(served, new)
        model_card.write(served)  # it has the run's name
        say(f"{new} is {served} now; the run before it is {aside} (--go-back puts it back).")
    return Outcome(objections=tuple(objections))


def _tell(found: Feedback, say: Callable[[str], None]) -> None:
    say(f"Picked: {len(found.train):,} documents; held out: {len(found.held_out):,}.")
    for reason, count in found.left_out.most_common():
        say(f"Left out: {count:,} ({reason}).")


def _plan(served: Path, documents: Iterable[str], options: Mapping[str, Any]) -> Plan:
    """A few gentle steps, unless others are asked for."""
    source = open_source(served)
    tokenizer = Tokenizer(compile_vocabulary(source.read_vocabulary()))
    tokens = sum(len(tokenizer.encode(text)) + 1 for text in documents)
    plan = replace(FINE_TUNING, **{"learning_rate": _RATE, "replay": _REPLAY, **options})
    steps = max(_EVALUATIONS, round(_READ * tokens / plan.tokens_per_step(source.hparams.n_ctx)))
    return replace(plan, **{"steps": steps, "eval_every": steps // _EVALUATIONS, **options})


@contextmanager
def _copy_index(corpus: Path) -> Iterator[CopyIndex]:
    """The corpus's own, which knows nothing of earlier picks."""
    index = copies.index_of(corpus)
    with tempfile.TemporaryDirectory() as folder:
        if not copies.up_to_date(corpus, index):
            index = Path(folder, copies.IN_CHECKPOINT)
            with tqdm(desc="Indexing", unit=" documents", leave=False) as bar:
                copies.build(corpus, index, progress=bar.update)
        yield CopyIndex.open(index)


def _index_both(corpus: Path, index: CopyIndex, picks: Path, new: Path) -> None:
    """Leave the copy index of the corpus and the picks in the new run, where `finetune` takes it.

    Documents of the corpus keep their names. Picks have none: the service tells strangers what they
    are copied from, and a pick's first words are somebody's.
    """
    count = sum(1 for _ in read_documents(corpus))
    names = map(index.name, range(index.documents - count, index.documents))
    with (
        tempfile.TemporaryDirectory() as folder,
        tqdm(desc="Indexing", unit=" documents", leave=False) as bar,
    ):
        both = Path(folder, "train.txt")
        write_documents(chain(read_documents(corpus), read_documents(picks)), both)
        copies.build(
            both,
            new / copies.IN_CHECKPOINT,
            titles=chain(names, repeat(_PICKED)),
            progress=bar.update,
        )
