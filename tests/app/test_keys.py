"""The file of API keys."""

import logging
from pathlib import Path

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from limits import RateLimitItemPerHour, RateLimitItemPerMinute

from app.keys import Key, KeyFile, offered_key
from app.settings import SettingsError

ALICE = "3f9c1b7e5d2a4860"
BOB = "b0b-b0b-b0b-b0b-b0b=="


def write(path: Path, text: str) -> Path:
    """As careful editors do, so that a change is seen whatever the clock's resolution."""
    aside = path.with_suffix(".new")
    aside.write_text(text)
    return aside.replace(path)


def test_a_line_is_a_key(tmp_path: Path) -> None:
    keys = KeyFile(
        write(
            tmp_path / "keys",
            f"# friends\n\nalice {ALICE} 600/minute; 9/hour # she pays\n  bob\t{BOB}\n",
        )
    )
    limits = (RateLimitItemPerMinute(600), RateLimitItemPerHour(9))
    assert keys.find(ALICE) == Key("alice", limits)
    assert keys.find(BOB) == Key("bob", None)
    for other in ("", "alice", ALICE.upper(), f"{ALICE} ", ALICE[:-1], "é" * 16):
        assert keys.find(other) is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("carol", "a name and a key"),
        ("carol short", "16 to 256"),
        ("carol with:colon:in:its:middle", "16 to 256"),
        ("carol cccccccccccccccc often", "couldn't parse"),
        ("carol cccccccccccccccc 0/minute", "must allow"),
        (f"carol {ALICE}", "earlier line"),
        ("alice cccccccccccccccc", "earlier line"),
    ],
)
def test_a_wrong_line_is_named_without_its_key(tmp_path: Path, line: str, words: str) -> None:
    path = write(tmp_path / "keys", f"alice {ALICE}\n# a comment\n{line}\n")
    with pytest.raises(SettingsError, match=f"^API_KEYS: .*keys, line 3: .*{words}") as raised:
        KeyFile(path)
    assert line.partition(" ")[2].partition(" ")[0] not in str(raised.value) or line == "carol"


def test_without_a_file_it_does_not_begin(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="^API_KEYS: cannot read"):
        KeyFile(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="^API_KEYS: cannot read"):
        KeyFile(tmp_path / "binary")


def test_changes_are_seen_and_wrong_ones_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "keys", f"alice {ALICE}\n")
    keys = KeyFile(path)
    write(path, f"bob {BOB}\n")
    assert keys.find(ALICE) is None
    assert keys.find(BOB) == Key("bob", None)
    with caplog.at_level(logging.ERROR):
        write(path, f"bob {BOB}\nalice\n")
        assert keys.find(BOB)
        path.unlink()
        assert keys.find(BOB)
        assert keys.find(BOB)
    assert len(caplog.messages) == 2  # one for each change
    assert "line 2" in caplog.text
    assert BOB not in caplog.text
    write(path, f"alice {ALICE}\n")
    assert keys.find(ALICE)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_keys_or_a_named_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any-keys"
    path.write_bytes(text.encode())
    try:
        KeyFile(path)
    except SettingsError as error:
        assert str(error).startswith("API_KEYS: ")


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, None),
        ({"Authorization": f"Bearer {BOB}"}, BOB),
        ({"Authorization": f"bearer {ALICE}"}, ALICE),
        ({"X-API-Key": ALICE}, ALICE),
        ({"Authorization": "Basic dXNlcjpwYXNz", "X-API-Key": ALICE}, ALICE),
        ({"Authorization": "Basic dXNlcjpwYXNz"}, None),
        ({"Authorization": "Bearer"}, ""),
        ({"Authorization": "Bearer a=b"}, ""),
    ],
)
def test_where_a_request_has_its_key(headers: dict[str, str], key: str | None) -> None:
    with Flask("test").test_request_context(headers=headers):
        assert offered_key() == key
