"""WritingPrompts: the data set of https://arxiv.org/abs/1805.04833, in fairseq's form.

``NAME.wp_source`` has a prompt a line, ``NAME.wp_target`` the story that somebody wrote to it on
Reddit, both as tokens. A document is the prompt, the line ``[story]`` and the story, so a model
learns to go on from a prompt and that line.
"""

import io
import re
from collections.abc import Iterator
from itertools import zip_longest

from corpus.archive import File
from corpus.importers.reddit import plain_text
from corpus.importers.source import Broken, Dropped, Item, Source, Text

STORY = "[story]"
"""What stands between a prompt and its story, as a paragraph of its own."""

_PROMPTS, _STORIES = ".wp_source", ".wp_target"

_TAGS = "WP|SP|EU|CW|TT|TTT|IP|MP|PM|RF|FF|DC|CC|OT|PI|CS|NSFW|NSFL|NANO|Modpost"
_TAG = re.compile(
    rf"[\[{{(]\s*(?:{_TAGS})(?:\s*[/,&+]\s*(?:{_TAGS}))*\s*[\]}})]\s*:?", re.IGNORECASE
)

_LEFT = r"(?:[,;:!?%)\]}\u2019\u201d\u2026]|\.+)"
_JOINTS = (
    (re.compile(r"[^\S\n]*<newline>[^\S\n]*", re.IGNORECASE), "\n"),
    # Quotes: `` opens and '' closes; `` with nothing behind it closes, too.
    (re.compile(r"[^\S\n]*``(?=[^\S\n]*$)", re.MULTILINE), '"'),
    (re.compile(r"``[^\S\n]*"), '"'),
    (re.compile(r"[^\S\n]*''"), '"'),
    # As the Penn Treebank divides them: did n't, it 's, can not, gon na.
    (re.compile(r"(?<=\w) (n['\u2019]t)\b", re.IGNORECASE), r"\1"),
    (
        re.compile(r"(?<=\w) ?(['\u2019]) ?(s|m|d|t|re|ve|ll)\b(?!['\u2019])", re.IGNORECASE),
        r"\1\2",
    ),
    (re.compile(r"\b(can) (not)\b", re.IGNORECASE), r"\1\2"),
    (re.compile(r"\b(gon|wan) (na)\b", re.IGNORECASE), r"\1\2"),
    (re.compile(r"\b(got) (ta)\b", re.IGNORECASE), r"\1\2"),
    (re.compile(r"\b(gim|lem) (me)\b", re.IGNORECASE), r"\1\2"),
    (re.compile(r"(?<!\S)('t) (is|was)\b", re.IGNORECASE), r"\1\2"),
    (re.compile(r"(?<=s) '(?=[^\S\n])"), "'"),
    # Marks that belong to the word before them, or behind.
    (re.compile(rf"(?<=\S) (?={_LEFT}+(?:[\s\"'*]|$))"), ""),
    (re.compile(r"(?<=[.,!?\u2026]) (?=\*+(?:[\s\"]|$))", re.MULTILINE), ""),
    (re.compile(r"([(\[{\u201c\u2018]) "), r"\1"),
    (re.compile(r"(?<![^\s\"(])([$#£€]) (?=\d)"), r"\1"),
    (re.compile(r"(?<=--) (?=--?(?!\S))"), ""),
    (re.compile(r"\b(https?) ?: ?//", re.IGNORECASE), r"\1://"),
)

_SHORT = 400  # characters, of a paragraph that an author adds
_SIGN_OFF = re.compile(
    r"""^\W*edit(?:ed|s)?\b\W*\w{0,5}\W*[:=-]
    | (?<![\w/])/?[ru]/\w{3,}
    | https?://
    | \bthank(?:s|\ you)\ (?:so\ much\ |again\ )?for\ (?:reading|the\ (?:prompt|gold|read)|your)
    | \b(?:hope|glad)\ (?:that\ )?(?:you|y'all|everyone|somebody)\ (?:guys\ |all\ )?
      (?:like|enjoy)
    | \b(?:feedback|criti(?:que|cism)s?|comments?)\b[^.]{0,40}
      \b(?:welcomed?|appreciated|encouraged)
    | \bwelcome\b[^.]{0,30}\bcriti
    | \b(?:please|free\ to)\ critique
    | \b(?:enjoyed|fun)\ writing\ (?:this|it|that)
    | \bfirst\ (?:time|post|prompt|submission|response|attempt|story)\b[^.]{0,40}
      \b(?:here|posting|prompts?|writing|submi\w+|respon\w+|sub|subreddit)\b
    | \bmy\ (?:own\ )?(?:sub|subreddit|blog|website|webpage|wattpad|patreon)\b
    | \bpart\ (?:\d|two|three|ii)\b[^.]{0,30}\b(?:below|here|comment|soon|found)
    | \b(?:sorry|apologi[sz]e|apologies)\b[^.]{0,40}
      \b(?:format\w*|typos?|grammar|mistakes|mobile|phone)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_RULE = re.compile(r"[\W_]*")
_SPEECH = re.compile(r"\W*[\"\u201c]")


def recognises(file: File) -> bool:
    """By the end of its name."""
    return file.suffix in (_PROMPTS, _STORIES)


def read(file: File) -> Iterator[Item]:
    """The stories of a file, each with its prompt; nothing for the prompts, which come along."""
    if file.suffix == _PROMPTS:
        if file.sibling(file.path.stem + _STORIES) is None:
            yield Broken(str(file.path), f"has no {file.path.stem}{_STORIES} beside it")
        return
    prompts = file.sibling(file.path.stem + _PROMPTS)
    if prompts is None:
        for story in _lines(file):
            yield _item("", story)
        return
    for number, (prompt, story) in enumerate(zip_longest(_lines(prompts), _lines(file)), start=1):
        if prompt is None or story is None:
            longer, shorter = (file, prompts) if prompt is None else (prompts, file)
            yield Broken(f"{longer.path}, line {number}", f"{shorter.name} ends before it")
            return
        yield _item(prompt, story)


def detokenise(tokens: str) -> str:
    """Tokens, apart by blanks, as running text.

    >>> detokenise("`` I did n't , '' he said ( twice ) . <newline> `` Oh ? ''")
    '"I didn\\'t," he said (twice).\\n"Oh?"'
    """
    text = tokens
    for joint, joined in _JOINTS:
        text = joint.sub(joined, text)
    return text.strip()


def _item(prompt: str, story: str) -> Item:
    text = plain_text(_without_sign_offs(detokenise(story)))
    if text.casefold() in ("[deleted]", "[removed]"):
        return Dropped("deleted")
    if not text:
        return Dropped("without text")
    asked = " ".join(plain_text(detokenise(_TAG.sub("", prompt))).split())
    return Text(text=f"{asked}\n\n{STORY}\n\n{text}" if asked else text, community="WritingPrompts")


def _without_sign_offs(story: str) -> str:
    """Without what the author says about the story behind it."""
    paragraphs = re.split(r"\n\s*\n", story)
    while len(paragraphs) > 1 and _is_sign_off(paragraphs[-1]):
        paragraphs.pop()
    return "\n\n".join(paragraphs)


def _is_sign_off(paragraph: str) -> bool:
    is_rule = bool(_RULE.fullmatch(paragraph))
    is_speech = bool(_SPEECH.match(paragraph))
    said = len(paragraph) <= _SHORT and not is_speech and _SIGN_OFF.search(paragraph)
    return is_rule or bool(said)


def _lines(file: File) -> Iterator[str]:
    with file.open() as stream:
        # Stories have other line breaks inside.
        yield from io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="\n")


SOURCE = Source("writingprompts", "WritingPrompts", recognises, read)
