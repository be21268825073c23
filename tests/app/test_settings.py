"""Settings from the environment."""

from pathlib import Path

import pytest

from app import create_app
from app.settings import Settings, SettingsError


def test_defaults() -> None:
    settings = Settings.read({})
    assert settings.checkpoint == Path("checkpoint/run1")
    assert settings.threads is None
    assert settings.examples
    assert settings.database_url == "sqlite:///data/stories.db"
    assert settings.keep_stories == 100_000


def test_a_password_is_not_shown() -> None:
    settings = Settings.read({"DATABASE_URL": "postgresql://me:hunter2@localhost/stories"})
    assert "hunter2" not in repr(settings)


def test_the_environment_has_strings_and_many_other_names() -> None:
    settings = Settings.read(
        {"THREADS": "3", "TITLE": "Blog", "EXAMPLES": "One | Two|", "PATH": "/bin", "title": "x"}
    )
    assert settings.threads == 3
    assert settings.title == "Blog"
    assert settings.examples == ("One", "Two")


@pytest.mark.parametrize(
    ("name", "value"), [("THREADS", "0"), ("MAX_LENGTH", "many"), ("MAX_SAMPLES", "-1")]
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: "):
        Settings.read({name: value})


def test_the_app_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITLE", "From outside")
    monkeypatch.setenv("TAGLINE", "From outside too")
    page = create_app({"TITLE": "From a caller"}).test_client().get("/").text
    assert "From a caller" in page
    assert "From outside too" in page
