"""What visitors picked, for training: read as the service keeps it, judged as its gate judges."""

from collections.abc import Callable
from pathlib import Path

from app.gate import Check, Refusal, WordList
from app.library import Library, LibraryError, PickedStory
from app.settings import Settings, SettingsError
from corpus.copies import CopyIndex


def read_picks(settings: Settings, url: str | None) -> list[PickedStory]:
    """The stories that somebody liked or went on with, of the service's database or another one.

    Raises SettingsError, LibraryError.
    """
    url = url or settings.database_url
    file = url.removeprefix("sqlite:///")
    if file != url and not Path(file).is_file():  # it would be made
        raise LibraryError(f"{file} does not exist: no stories are kept there")
    library = Library(url)
    try:
        return list(library.picked())
    finally:
        library.close()


def gate(settings: Settings) -> Callable[[str, CopyIndex], Refusal | None]:
    """Tells why the gate would refuse a whole text today, its opening included; None if it would
    let it pass. Raises SettingsError for a list of words that cannot be read."""
    try:
        words = WordList.read(settings.blocked_words) if settings.blocked_words else WordList()
    except (OSError, ValueError) as error:
        raise SettingsError(f"BLOCKED_WORDS: {error}") from None

    def refusal(text: str, copies: CopyIndex) -> Refusal | None:
        check = Check(words, copies, may_copy=False)
        check.feed(text)
        check.finish("")
        return check.refusal

    return refusal
