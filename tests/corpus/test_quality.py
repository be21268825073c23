from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.documents import read_texts
from corpus.quality import reason

ROOT = Path(__file__).parents[2]
PROSE = "Wren rows home before the fog. The otter follows, and says nothing of the pie."


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (PROSE, None),
        ("Yes.", None),
        ("Wren: where are you?\nOtter: home\nWren: ok\nOtter: and you?", None),
        ("- where are you?\n> home\n> and you\n- ok\n> come here\n- hm", None),
        ("\n".join(f"--Hola, dijo la nutria {n}." for n in range(9)), None),
        ("నీటిపిల్లి పొగమంచు రాకముందే ఇంటికి వెళ్ళింది, పై గురించి ఏమీ చెప్పలేదు.", None),
        ("Шла Саша по шоссе и сосала сушку.", None),
        ("The price was $3.50, up 10% from 1997.", None),
        ("", "empty"),
        ("Lorem ipsum dolor sit amet.", "placeholder text"),
        ("12 34 56 = 102; 7 8 9 = 24. Sum!", "mostly digits and symbols"),
        ("a b c d e f g. h i.", "very short words"),
        ("Donaudampfschifffahrtsgesellschaft Kapitänsmützenfabrik.", "very long words"),
        ("BUY NOW AND SAVE. It is CHEAP.", "mostly capitals"),
        ("Home About Contact Login", "no sentence ends"),
        ("\n".join(f"- Apples and pears. {n}" for n in range(9)), "a list"),
        (f"{PROSE}\nThe otter went...\nThe wren went...", "lines cut short"),
        ("Where is it?\nWhere is it?\nThere it is.", "repeats its lines"),
        ("And round and round it goes. " * 20, "repeats its words"),
    ],
)
def test_reasons(text: str, why: str | None) -> None:
    assert reason(text) == why


@given(st.text())
def test_any_text_has_a_reason_or_none(text: str) -> None:
    assert reason(text) is None or text != PROSE


def test_the_sample_is_all_good() -> None:
    texts = [raw.text for raw in read_texts(ROOT / "data/sample")]
    assert len(texts) == 120
    assert not any(map(reason, texts))


def test_real_episodes_are_all_good(shared_data: Path) -> None:
    texts = [raw.text for raw in read_texts(shared_data / "episodes_serebii")]
    prose = [text for text in texts if len(text.split()) > 300]
    assert len(prose) > 350
    assert sum(map(bool, map(reason, prose))) < 10
