import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.language import language, languages


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "The otter follows Wren home before the fog comes, and says nothing of the pie. "),
        ("de", "Der Otter folgt dem Zaunkönig nach Hause, bevor der Nebel kommt, und schweigt. "),
        ("fr", "La loutre suit le roitelet à la maison avant le brouillard et ne dit rien. "),
        ("ja", "カワウソは霧が出る前にミソサザイを追って家に帰り、パイのことは何も言いません。"),
    ],
)
def test_languages_are_told_from_each_other(code: str, text: str) -> None:
    assert language(text * 3) == code
    assert language(text[:40]) is None
    assert code in languages()


@given(st.text(min_size=90, max_size=300))
def test_any_text_has_a_known_language_or_none(text: str) -> None:
    assert language(text) in {None, *languages()}
