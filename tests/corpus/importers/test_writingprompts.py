import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.archive import Archive
from corpus.cleaning import clean
from corpus.importers.source import Broken, Dropped, Item, Text
from corpus.importers.writingprompts import SOURCE, STORY, detokenise
from corpus.importing import Policy, Report, import_archive, recognise


def items(path: Path) -> list[Item]:
    with Archive([path]) as archive:
        return [item for file in archive for item in SOURCE.read(file)]


def pair(folder: Path, prompts: str, stories: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "train.wp_source").write_text(prompts, encoding="utf-8", newline="")
    (folder / "train.wp_target").write_text(stories, encoding="utf-8", newline="")
    return folder


def only(folder: Path, prompt: str, story: str) -> str:
    [item] = items(pair(folder / "pair", prompt + "\n", story + "\n"))
    assert isinstance(item, Text)
    return item.text


def letters(text: str) -> str:
    """What no detokenising changes."""
    return re.sub(r"[^a-z]", "", text.casefold())


def test_real_pairs(shared_data: Path, tmp_path: Path) -> None:
    for name in ("train", "valid"):
        folder = tmp_path / name
        folder.mkdir()
        raw = {}
        for suffix in ("wp_source", "wp_target"):
            path = shared_data / "writingprompts" / f"{name}.{suffix}"
            raw[suffix] = path.read_bytes().decode().split("\n")[:-1]
            (folder / path.name).write_bytes(path.read_bytes())
        found = items(folder)
        assert len(found) == len(raw["wp_source"]) == len(raw["wp_target"])
        for prompt, story, item in zip(raw["wp_source"], raw["wp_target"], found, strict=True):
            assert isinstance(item, Text)
            asked, marker, told = item.text.partition(f"\n\n{STORY}\n\n")
            assert marker, prompt
            assert letters(asked) in letters(prompt) and len(letters(asked)) > 2
            words = letters(story.replace("<newline>", ""))
            assert letters(told)[:10] in words
            # Nothing but links and notes goes.
            assert len(letters(told)) > 0.8 * len(words) - 400
            assert not re.search(r"``|''|<newline>|\w n't\b|\w '(?:s|m|re|ve|ll)\b", item.text)
            assert not re.search(r"[\[{(] ?wp ?[\]})]", item.text, re.IGNORECASE)


def test_real_halves(shared_data: Path) -> None:
    folder = shared_data / "writingprompts"
    [broken] = items(folder / "prompts_quoted.wp_source")
    assert broken == Broken("prompts_quoted.wp_source", "has no prompts_quoted.wp_target beside it")
    [story] = items(folder / "one_story.wp_target")
    assert isinstance(story, Text) and story.text.startswith("I covered my mouth, trying")
    assert "dragging it's feet as" in story.text and STORY not in story.text
    assert '"They don\'t exist." I continued.' in story.text


def test_all_is_recognised_and_counted(shared_data: Path) -> None:
    report = Report()
    with Archive([shared_data / "writingprompts"]) as archive:
        assert {recognise(file) for file in archive} == {SOURCE}
        found = list(import_archive(archive, Policy(), report))
    # One story is there twice, in one pair of files.
    assert len(found) == 601 and report.sources["WritingPrompts"].dropped == {"there already": 1}
    assert report.broken_count == 1 and not report.unknown


def test_the_marker_survives_cleaning(tmp_path: Path) -> None:
    text = only(tmp_path, "[ WP ] You wake up .", "I do .")
    assert clean(text) == text == f"You wake up.\n\n{STORY}\n\nI do."


@pytest.mark.parametrize(
    ("prompt", "plain"),
    [
        ("[ WP ] A dragon .", "A dragon."),
        ("[ wp ] A dragon", "A dragon"),
        ("{ WP } A dragon", "A dragon"),
        ("( WP ) A dragon", "A dragon"),
        ("[WP] A dragon", "A dragon"),
        ("[ FF ] [ MP ] A Song", "A Song"),
        ("[ WP/CS ] : A dragon", "A dragon"),
        ("[ EU ] A dragon [ NSFW ]", "A dragon"),
        ("[ WP ] A [ units of ] dragon ( and computers )", "A [units of] dragon (and computers)"),
        ("[ WP ] `` Dad , why ca n't Mom come ? ''", '"Dad, why can\'t Mom come?"'),
    ],
)
def test_prompts_have_no_tags(tmp_path: Path, prompt: str, plain: str) -> None:
    assert only(tmp_path, prompt, "Story .").partition("\n")[0] == plain


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ("`` Hi , '' he said . `` Go ! ''", '"Hi," he said. "Go!"'),
        ("`` Hi. '' <newline> <newline> `` Oh? ''", '"Hi."\n\n"Oh?"'),
        ("`` Oh? `` <newline> Yes", '"Oh?"\nYes'),
        ("I did n't , ca n't , wo n't , DO N'T", "I didn't, can't, won't, DON'T"),
        ("it 's I 'm you 're we 've they 'll he 'd", "it's I'm you're we've they'll he'd"),
        ("he doesn ’ t and I ’ m", "he doesn’t and I’m"),
        ("the dogs ' tails", "the dogs' tails"),
        ("I can not , gon na , wan na , got ta , gim me", "I cannot, gonna, wanna, gotta, gimme"),
        ("'t is late", "'tis late"),
        ("( so it was ) [ here ] { there }", "(so it was) [here] {there}"),
        ("“ Hi , ” he said ; “ go . ”", "“Hi,” he said; “go.”"),
        ("Wait ... what ? ! Well . . .", "Wait... what?! Well..."),
        ("$ 5 and 10 % of # 1", "$5 and 10% of #1"),
        ("She was -- he thought -- gone", "She was -- he thought -- gone"),
        ("http : //a.b and https: //c.d", "http://a.b and https://c.d"),
        ("*My time . * Then", "*My time.* Then"),
        ("Already fine, isn't it? (Yes.)", "Already fine, isn't it? (Yes.)"),
    ],
)
def test_detokenising(tokens: str, text: str) -> None:
    assert detokenise(tokens) == text


SENTENCES = [
    "I don't know, he's gone.",
    '"You can\'t!" she said; "we\'ll see."',
    "It was 10% of $5 (or so)...",
    "They'd have gone [there], wouldn't they?",
    '"It isn\'t," I said. "Is it?"',
    "I'm gonna wait: you cannot.",
    "Well - no.",
]


def tokens_of(text: str) -> str:
    """As the Penn Treebank divides a text, in short; made apart from what is tested."""
    text = re.sub(r'(^|[\s(])"', r"\1`` ", text, flags=re.MULTILINE)
    text = text.replace('"', " ''").replace("\n", " <newline> ")
    text = re.sub(r"(\w)(n't)\b", r"\1 \2", text)
    text = re.sub(r"(\w)('(?:s|m|d|re|ve|ll))\b", r"\1 \2", text)
    text = text.replace("gonna", "gon na").replace("cannot", "can not")
    text = re.sub(r"(\.\.\.|[,;:!?%()\[\]$]|(?<!\.)\.(?!\.))", r" \1 ", text)
    return " ".join(text.split())


@given(
    st.lists(
        st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=4).map(" ".join),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["\n", "\n\n"]),
)
def test_made_tokens_become_their_text(lines: list[str], apart: str) -> None:
    text = apart.join(lines)
    assert detokenise(tokens_of(text)) == text


@given(st.text(alphabet="`'\".,!?()[]{}<newli>’“”-$5 ansd\n", max_size=200))
def test_any_tokens_are_read(tokens: str) -> None:
    assert letters(detokenise(tokens)) == letters(tokens.replace("<newline>", ""))


@pytest.mark.parametrize(
    "end",
    [
        "/r/MyStories",
        "More stories at r/MyStories .",
        "*Did you enjoy this ? Then come over to /r/MyStories . *",
        "Thanks for reading ! If you 'd like more , visit my webpage .",
        "Edit : typo",
        "Feedback would be HIGHLY appreciated : )",
        "[ More by me ] ( https : //www.reddit.com/r/MyStories/ )",
        "-- -- - <newline> <newline> I hope you enjoyed it !",
        "( Sorry for the formatting , I am on mobile )",
        "More at /r/MyStories <newline> <newline> EDIT 2 : typo",
        "First time posting here ! <newline> <newline> Part 2 below .",
    ],
)
def test_what_authors_add_goes(tmp_path: Path, end: str) -> None:
    text = only(
        tmp_path, "[ WP ] P", f"Once . <newline> <newline> The end . <newline> <newline> {end}"
    )
    assert text == f"P\n\n{STORY}\n\nOnce.\n\nThe end."


@pytest.mark.parametrize(
    "end",
    [
        "`` Thanks for reading , '' said the book .",
        "She thanked the sub for its part in the war .",
        "Hope was all they had .",
    ],
)
def test_endings_of_stories_stay(tmp_path: Path, end: str) -> None:
    text = only(tmp_path, "[ WP ] P", f"Once . <newline> <newline> {end}")
    assert text.endswith("Once.\n\n" + detokenise(end))


def test_other_line_breaks_divide_nothing(tmp_path: Path) -> None:
    folder = pair(tmp_path / "a", "P one\x85x\u2028y\rz\nP two\n", "S one\n\x0cS\rtwo\n")
    found = [item.text for item in items(folder) if isinstance(item, Text)]
    assert [text.split(f"\n{STORY}\n")[0].split()[:2] for text in found] == [
        ["P", "one"],
        ["P", "two"],
    ]
    assert "S one" in found[0] and "two" in found[1]


@pytest.mark.parametrize(("prompts", "stories"), [(3, 2), (2, 3)])
def test_files_of_different_length(tmp_path: Path, prompts: int, stories: int) -> None:
    folder = pair(tmp_path / "a", "Prompt\n" * prompts, "Story\n" * stories)
    found = items(folder)
    assert [type(item) for item in found] == [Text, Text, Broken]
    longer, shorter = ("source", "target") if prompts > stories else ("target", "source")
    assert found[2] == Broken(f"a/train.wp_{longer}, line 3", f"train.wp_{shorter} ends before it")


def test_lines_without_a_story(tmp_path: Path) -> None:
    folder = pair(tmp_path / "a", "A\nB\n[ IP ]\n", "[ deleted ]\n<newline>\nStory .\n")
    assert items(folder) == [
        Dropped("deleted"),
        Dropped("without text"),
        Text(text="Story.", community="WritingPrompts"),
    ]


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_are_read(
    tmp_path_factory: pytest.TempPathFactory, prompts: bytes, stories: bytes
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.wp_source").write_bytes(prompts)
    (folder / "a.wp_target").write_bytes(stories)
    with Archive([folder]) as archive:
        list(import_archive(archive, Policy(), Report()))
