"""The tokenizer against gpt-2-simple's own encoder."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine import CheckpointError, Tokenizer


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """gpt_2_simple/src/encoder.py itself, without importing TensorFlow beside it."""
    package = importlib.util.find_spec("gpt_2_simple")
    assert package is not None and package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "src" / "encoder.py"
    spec = importlib.util.spec_from_file_location("reference_encoder", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=["small", "gpt2"])
def vocabulary(request: pytest.FixtureRequest) -> Path:
    """A folder with a small vocabulary, and one with the real 50,257 tokens."""
    if request.param == "gpt2":
        return Path(request.getfixturevalue("shared_data")) / "gpt2"
    return Path(request.getfixturevalue("tiny_checkpoint"))


# Text in which the pattern's branches meet: contractions, runs of white space, digits, scripts.
pieces = st.sampled_from(
    [
        "'",
        "'s",
        "'re",
        "'LL",
        "'ll",
        " ",
        "  ",
        "\n",
        "\t\u00a0",
        "\u2003",
        "\x85",
        "\x1c",
        "12",
        "½",
    ]
    + [
        "Wren",
        " the",
        "ing",
        "é",
        "e\u0301",
        "ポケモン",
        "٣",
        "🦦",
        "_",
        "...",
        "<|endoftext|>",
        "\0",
    ]
)
texts = st.text() | st.lists(pieces | st.characters(codec="utf-8"), max_size=30).map("".join)


def test_encodes_as_gpt_2_simple_does(vocabulary: Path, reference: ModuleType) -> None:
    tokenizer, encoder = Tokenizer.load(vocabulary), reference.get_encoder(str(vocabulary))

    @settings(max_examples=400, deadline=None)
    @given(texts)
    @example("a" * 3000)
    @example("Wren's   don't\n\n  we'll \n")
    def check(text: str) -> None:
        assert tokenizer.encode(text) == encoder.encode(text)

    check()


def test_two_merges_that_make_one_token(reference: ModuleType, tmp_path: Path) -> None:
    """A pair of a lower rank that the merging of another makes waits until that pass is over."""
    merges = ["b c", "a b", "ab c", "abc a", "a bc"]
    tokens = [chr(c) for c in (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x144))]
    tokens += [*dict.fromkeys(merge.replace(" ", "") for merge in merges), "<|endoftext|>"]
    ids = {token: i for i, token in enumerate(tokens)}
    (tmp_path / "encoder.json").write_text(json.dumps(ids))
    (tmp_path / "vocab.bpe").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    encoded = Tokenizer.load(tmp_path).encode("abcabc")
    assert encoded == reference.get_encoder(str(tmp_path)).encode("abcabc") == 2 * [ids["abc"]]


def test_classes_change_where_the_regex_library_says(
    tiny_checkpoint: Path, reference: ModuleType
) -> None:
    """Every character at a border between classes, and its neighbours, between letters."""
    tokenizer, encoder = (
        Tokenizer.load(tiny_checkpoint),
        reference.get_encoder(str(tiny_checkpoint)),
    )
    kinds = [
        [bool(regex.match(p, chr(c))) for p in (r"\p{L}", r"\p{N}", r"\s")] for c in range(0x32000)
    ]
    borders = [c for c in range(1, len(kinds)) if kinds[c] != kinds[c - 1]]
    assert len(borders) > 1000
    for c in borders:
        for near in (c - 1, c):
            if not 0xD800 <= near < 0xE000:
                text = f"th{chr(near)}e 12{chr(near)}3 .{chr(near)}. {chr(near)} {chr(near)}a"
                assert tokenizer.encode(text) == encoder.encode(text), hex(near)


def test_decodes_what_it_encoded(vocabulary: Path) -> None:
    tokenizer = Tokenizer.load(vocabulary)

    @settings(deadline=None)
    @given(texts)
    def check(text: str) -> None:
        assert tokenizer.decode(tokenizer.encode(text)).decode() == text

    check()


def test_the_special_token_decodes_to_its_name(tiny_checkpoint: Path) -> None:
    tokenizer = Tokenizer.load(tiny_checkpoint)
    assert tokenizer.decode([tokenizer.end_of_text]) == b"<|endoftext|>"
    assert tokenizer.end_of_text not in tokenizer.encode("<|endoftext|>")


def test_long_words_take_no_quadratic_time(tiny_checkpoint: Path) -> None:
    """A megabyte without a space: with a scan for each merge this would run for hours."""
    assert len(Tokenizer.load(tiny_checkpoint).encode("the" * 350_000)) <= 1_050_000


def test_lone_surrogates_are_an_error(tiny_checkpoint: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        Tokenizer.load(tiny_checkpoint).encode("\ud800")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("encoder.json", "[]", "not a table"),
        ("encoder.json", '{"a": 0', "not JSON"),
        ("encoder.json", '{"a": 0, "b": 2}', "ids are not 0 to 1"),
        ("encoder.json", '{"a": 0}', "no token for the byte"),
        ("encoder.json", '{"a": true}', "not a table"),
        ("encoder.json", r'{"\ud800": 0}', "a token is not Unicode text"),
        ("vocab.bpe", "#version: 0.2\na b c\n", "not a pair"),
        ("vocab.bpe", "#version: 0.2\nqq zz\n", "does not fit"),
        ("vocab.bpe", b"\xff\xfe", "not UTF-8"),
        ("vocab.bpe", None, "vocab.bpe is missing"),
        ("vocab.bpe", "#version: 0.2\n", "no merge makes .*: was it cut short"),
        ("vocab.bpe", "", "no merge makes .*: was it cut short"),
        ("encoder.json", "version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
    ],
)
def test_broken_files_say_what_is_wrong(
    tiny_checkpoint: Path, tmp_path: Path, name: str, content: str | bytes | None, message: str
) -> None:
    for good in ("encoder.json", "vocab.bpe"):
        (tmp_path / good).write_bytes((tiny_checkpoint / good).read_bytes())
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.load(tmp_path)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(max_size=3), st.integers(-2, 300)), st.text())
def test_any_vocabulary_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, int], merges: str
) -> None:
    folder = tmp_path_factory.mktemp("vocabulary")
    (folder / "encoder.json").write_text(json.dumps(table))
    (folder / "vocab.bpe").write_text(merges, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(CheckpointError):
        Tokenizer.load(folder)
