"""Stored stories, on SQLite and on PostgreSQL."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, inspect

from app.database import open_engine
from app.library import Base, Library, LibraryError, StoredStory
from app.settings import SettingsError

from .conftest import ROOT

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def story(number: int, **fields: Any) -> StoredStory:
    """Story `number`, a second younger than the one before it."""
    given: dict[str, Any] = {
        "id": id_of(number),
        "created": NOON + timedelta(seconds=number),
        "model": "73dd385452b4ec9a",
        "prefix": "Wren",
        "text": f" counts to {number}.",
        "seed": 2**32 - 1,
        "tokens": 7,
        "finish_reason": "stop",
        "attempts": 1,
        "copied": None,
        "parameters": {"length": 400, "temperature": 0.7, "stop": ["\n\n"]},
    }
    return StoredStory(**given | fields)


def id_of(number: int) -> str:
    return f"{number:012d}"


@pytest.fixture
def library(database_url: str) -> Iterator[Library]:
    library = Library(database_url)
    yield library
    library.close()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """For looking at the database behind the library's back."""
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


def there(library: Library, numbers: range) -> list[int]:
    return [number for number in numbers if library.get(id_of(number))]


def test_a_story_comes_back_as_it_was(library: Library) -> None:
    copied = [{"text": "up in front of the Lantern House", "words": 12, "source": "LI001"}]
    stories = [
        story(1, copied=copied, parent=id_of(2), created=NOON + timedelta(microseconds=1)),
        story(2, text="", prefix="", copied=[], parameters={"seed": None, "prefix": "é\0\n"}),
        story(3, text="Odo's \U0001f43b\r\n\t'; DROP TABLE stories; --" + "x" * 10_000),
    ]
    library.save(stories)
    assert [library.get(one.id) for one in stories] == stories
    assert library.get(id_of(4)) is None


def test_times_come_back_in_utc(library: Library) -> None:
    library.save([story(1, created=NOON.astimezone(timezone(timedelta(hours=-5))))])
    found = library.get(id_of(1))
    assert found and (found.created, found.created.tzinfo) == (NOON, UTC)


def test_a_story_that_is_there_is_kept(library: Library) -> None:
    library.save([story(1)])
    library.like(id_of(1), "me")
    library.save([story(2), story(1, text="another", likes=9), story(2, text="another")])
    library.save([])
    assert library.get(id_of(1)) == story(1, likes=1)
    assert library.get(id_of(2)) == story(2)


def test_stories_are_there_after_closing(database_url: str) -> None:
    for number in range(3):
        library = Library(database_url)
        library.save([story(number)])
        library.close()
    assert there(Library(database_url), range(3)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"text": "a\0b"}, "NUL"),
        ({"prefix": "\0"}, "NUL"),
        ({"id": "short"}, "id"),
        ({"id": "ABCDEFGHIJKL"}, "id"),
        ({"created": datetime(2026, 1, 1)}, "time zone"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_all_beside_it(
    library: Library, fields: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        library.save([story(1), replace(story(2), **fields)])
    assert library.get(id_of(1)) is None


@pytest.mark.parametrize("strange", ["", "\0", "x" * 100_000, "é" * 12, f"{id_of(1)}\n", "%00"])
def test_any_string_may_be_asked_for(library: Library, strange: str) -> None:
    library.save([story(1, parent=strange)])
    found = library.get(id_of(1))
    assert found and found.parent is None
    assert library.get(strange) is None
    assert library.like(strange, "me") is None
    assert library.family(strange) == []


def test_a_voter_counts_once(library: Library) -> None:
    library.save([story(1), story(2)])
    assert [library.like(id_of(1), voter) for voter in "aabab"] == [1, 1, 2, 2, 2]
    assert library.like(id_of(2), "a") == 1
    assert library.like(id_of(3), "a") is None
    assert library.get(id_of(1)) == story(1, likes=2)
    for wrong in ("", "x" * 65, "\0"):
        with pytest.raises(ValueError, match="voter"):
            library.like(id_of(1), wrong)


def test_many_threads_lose_nothing(library: Library) -> None:
    threads, each = 32, 8
    library.save([story(1000)])

    def visit(thread: int) -> None:
        mine = range(thread * each, (thread + 1) * each)
        for number in mine:
            # Everybody saves what others save too, in another order.
            shared = [story(1000 + (number * k) % 7) for k in (1, 3, 5)]
            library.save([story(number), *shared])
            assert library.get(id_of(number)) == story(number)
            assert library.like(id_of(1000), f"{thread}")
            assert library.like(id_of(number), f"{thread}") == 1

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(visit, range(threads)))
    assert there(library, range(threads * each)) == list(range(threads * each))
    assert library.get(id_of(1000)) == story(1000, likes=threads)


def test_nothing_saved_is_lost_when_the_process_is_killed(database_url: str) -> None:
    script = """
import sys
from datetime import UTC, datetime
from itertools import count
from app.library import Library, StoredStory
library = Library(sys.argv[1])
for number in count(int(sys.argv[2])):
    story = [f"{number:012d}", datetime.now(UTC), "", "", "", 0, 0, "stop", 1, None, {}]
    library.save([StoredStory(*story)])
    print(number, flush=True)
"""
    saved: list[int] = []
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", script, database_url, str(len(saved))],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(50)]
        process.kill()
        lines += process.stdout.readlines()  # it went on meanwhile
        process.wait()
        saved += [int(line) for line in lines if line.endswith(b"\n")]
        library = Library(database_url)
        assert there(library, range(len(saved))) == saved
        library.close()


def test_the_migrations_make_what_the_code_expects(library: Library, engine: Engine) -> None:
    library.migrate()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_migrating_again_changes_nothing(library: Library) -> None:
    library.save([story(1)])
    library.like(id_of(1), "me")
    library.migrate()
    assert library.get(id_of(1)) == story(1, likes=1)


def test_alembic_goes_back_and_forth_by_hand(library: Library, engine: Engine) -> None:
    def alembic(*command: str) -> None:
        url = engine.url.render_as_string(hide_password=False)
        environment = {**os.environ, "DATABASE_URL": url}
        tool = Path(sys.executable).with_name("alembic")
        subprocess.run([tool, *command], cwd=ROOT, env=environment, check=True)

    alembic("upgrade", "head")
    alembic("check")
    library.save([story(1)])
    alembic("downgrade", "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    alembic("upgrade", "head")
    assert library.get(id_of(1)) is None


def test_several_processes_migrate_at_once(database_url: str) -> None:
    script = (
        "import sys\n"
        "from app.library import Library\n"
        "print(flush=True)\n"
        "sys.stdin.readline()\n"
        "Library(sys.argv[1]).migrate()\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, database_url],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout
        process.stdout.readline()
    for process in processes:
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    library = Library(database_url)
    library.save([story(1)])
    library.close()


def test_a_newer_schema_is_refused_and_left_alone(
    library: Library, engine: Engine, database_url: str
) -> None:
    library.save([story(1)])
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    later = Library(database_url)
    with pytest.raises(LibraryError, match="newer version of the service.*9999"):
        later.migrate()
    with pytest.raises(LibraryError, match="newer version of the service"):
        later.save([story(2)])
    later.close()
    assert there(library, range(3)) == [1]


def test_a_migration_that_fails_leaves_nothing_half_done(library: Library, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE likes (somebody INTEGER)")  # the second of two
    with pytest.raises(LibraryError, match="likes"):
        library.migrate()
    assert inspect(engine).get_table_names() == ["likes"]


# Families


def tell(library: Library, number: int) -> list[tuple[int, int | None]]:
    """Numbers of the family's stories, each with its parent's."""
    return [
        (int(relative.id), int(relative.parent) if relative.parent else None)
        for relative in library.family(id_of(number))
    ]


def test_a_family_is_told_from_its_root(library: Library) -> None:
    parents = {5: 2, 3: 1, 2: 1, 4: 2, 6: None, 7: 6, 8: 99}
    for number, parent in parents.items():  # 1, the first, comes last
        library.save([story(number, parent=parent and id_of(parent))])
    library.save([story(1)])
    library.like(id_of(2), "me")
    expected = [(1, None), (2, 1), (3, 1), (4, 2), (5, 2)]
    for number in (1, 2, 3, 4, 5):
        assert tell(library, number) == expected
    assert tell(library, 7) == [(6, None), (7, 6)]
    assert tell(library, 8) == [(8, None)]
    assert library.family(id_of(99)) == []
    second = library.family(id_of(3))[1]
    assert (second.likes, second.created) == (1, NOON + timedelta(seconds=2))


def test_an_excerpt_is_what_a_story_adds(library: Library) -> None:
    texts = {
        1: "\n  wakes up.",
        2: " It rains.",
        3: "",
        4: " word" * 50,
        5: "é" * 500,
    }
    library.save(
        [
            story(number, prefix="Wren", text=text, parent=id_of(1 if number > 1 else 0))
            for number, text in texts.items()
        ]
    )
    excerpts = [relative.excerpt for relative in library.family(id_of(1))]
    assert excerpts[:3] == ["Wren wakes up.", "It rains.", ""]
    assert excerpts[3].endswith(" word…") and len(excerpts[3]) <= 80
    assert excerpts[4] == "é" * 79 + "…"


@pytest.mark.parametrize(
    ("parents", "families"),
    [
        ({1: 1}, {1: [(1, None)]}),
        ({1: 2, 2: 1}, {1: [(2, None), (1, 2)], 2: [(1, None), (2, 1)]}),
        # A circle of three with a branch.
        ({1: 2, 2: 3, 3: 1, 4: 1}, {4: [(3, None), (2, 3), (1, 2), (4, 1)]}),
    ],
)
def test_parents_may_go_round_in_a_circle(
    library: Library, parents: dict[int, int], families: dict[int, list[tuple[int, int | None]]]
) -> None:
    library.save([story(number, parent=id_of(parent)) for number, parent in parents.items()])
    for number, family in families.items():
        assert tell(library, number) == family


@pytest.mark.parametrize(
    "parent",
    [
        lambda number: number - 1,  # a chain
        lambda number: 0,  # a star
        lambda number: number // 2,
        lambda number: (number + 1) % 500,  # a circle
    ],
)
def test_a_large_family_is_told_in_part(library: Library, parent: Callable[[int], int]) -> None:
    library.save([story(number, parent=id_of(max(0, parent(number)))) for number in range(500)])
    for number in (0, 250, 499):
        told = tell(library, number)
        assert len(told) == 200
        assert number in dict(told)
        before: set[int | None] = {None}
        for one, its_parent in told:
            assert its_parent in before
            before.add(one)
        assert [its_parent for _, its_parent in told].count(None) == 1


# Picks


def picked(library: Library) -> dict[int, set[str]]:
    """Numbers of the stories that were picked, and by whom."""
    return {int(one.id): set(one.voters) for one in library.picked()}


def test_what_is_liked_or_gone_on_with_is_picked(library: Library) -> None:
    assert picked(library) == {}
    library.save([story(number, prefix=f"Odo {number}") for number in range(4)])
    library.like(id_of(0), "ann")
    library.like(id_of(0), "bob")
    library.like(id_of(1), "ann")
    going_on = story(10, prefix="Odo 1 counts to 1. And then", parent=id_of(1))
    library.save([going_on, story(11, prefix=" Odo 1 counts to 1.", parent=id_of(1))], "bob")
    library.save([story(12, prefix="Odo 2 counts to 2.", parent=id_of(2))], "ann")
    # Other versions, and what only names a parent.
    library.save([story(13, prefix="Odo 3", parent=id_of(3))], "ann")
    library.save([story(14, prefix="Odo 4 counts to 3.", parent=id_of(3))], "ann")
    library.save([story(15, prefix="Odo 3 counts to 3.", parent=id_of(99))], "ann")
    library.save([story(16, prefix="Odo 3 counts to 3.", parent=id_of(3))])  # by nobody knows whom
    assert picked(library) == {0: {"ann", "bob"}, 1: {"ann", "bob"}, 2: {"ann"}}
    (second,) = (one for one in library.picked() if one.id == id_of(1))
    assert (second.prefix, second.text, second.parent) == ("Odo 1", " counts to 1.", None)
    library.save([replace(going_on, parent=id_of(1))], "cid")  # the very same story
    library.like(id_of(10), "cid")
    assert picked(library)[1] == {"ann", "bob", "cid"}
    assert [one.parent for one in library.picked() if one.id == id_of(10)] == [id_of(1)]


def test_a_story_without_a_text_of_its_own_is_not_gone_on_with(library: Library) -> None:
    library.save([story(1, prefix="", text=""), story(2, prefix="Odo", text=" ")])
    library.save([story(3, prefix="Odo rows", parent=id_of(1))], "ann")
    library.save([story(4, prefix="Odo rows", parent=id_of(2))], "ann")
    assert picked(library) == {}


def test_picks_go_with_their_story(database_url: str, engine: Engine) -> None:
    library = Library(database_url, keep=1)
    library.save([story(1)])
    library.like(id_of(1), "ann")
    library.save([story(2, prefix="Wren counts to 1. Then", parent=id_of(1))], "ann")
    assert there(library, range(3)) == [2]
    assert picked(library) == {}
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM continuations").scalar() == 0
    library.close()


# What is kept


def test_the_oldest_that_nobody_cares_for_make_room(database_url: str) -> None:
    library = Library(database_url, keep=10)
    library.save([story(0), story(1), story(2, parent=id_of(2)), story(3)])
    library.like(id_of(0), "me")
    library.save([story(number, parent=id_of(3)) for number in (4, 5)])
    library.save([story(number) for number in range(6, 14)])
    assert there(library, range(14)) == [0, 3, *range(6, 14)]
    library.close()


def test_liked_stories_make_room_too_and_leave_half_to_new_ones(database_url: str) -> None:
    library = Library(database_url, keep=10)
    library.save([story(number) for number in range(10)])
    for number in range(10):
        library.like(id_of(number), "me")
    for number in range(10, 15):
        library.save([story(number)])
    assert there(library, range(15)) == [*range(5, 15)]
    library.save([story(15), story(16)])  # now 10 and 11 are of the older half
    assert there(library, range(17)) == [*range(5, 10), *range(12, 17)]
    library.close()


def test_likes_go_with_their_story(database_url: str, engine: Engine) -> None:
    library = Library(database_url, keep=1)
    library.save([story(1)])
    library.like(id_of(1), "me")
    library.save([story(2)])
    assert there(library, range(3)) == [2]
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM likes").scalar() == 0
    library.close()


def test_a_smaller_bound_holds_from_the_next_save(database_url: str) -> None:
    library = Library(database_url, keep=1000)
    library.save([story(number) for number in range(50)])
    library.close()
    library = Library(database_url, keep=20)
    library.save([story(50)])
    assert there(library, range(51)) == list(range(31, 51))
    library.close()


def test_the_bound_holds_but_for_a_hundredth(database_url: str, engine: Engine) -> None:
    library = Library(database_url, keep=300)
    counts = set()
    for number in range(320):
        library.save([story(number)])
        if number >= 300:
            with engine.connect() as connection:
                counts.add(connection.exec_driver_sql("SELECT count(*) FROM stories").scalar())
    assert counts == {300, 301, 302}
    library.close()


# Databases that are not there


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense:hunter2",
        "mysql://me:hunter2@localhost/stories",
        "postgresql+psycopg://me:hunter2@localhost/stories",
        "postgresql://me:hunter2@localhost:hunter2/stories",
        "postgresql://me:hunter2@localhost/stories?sslmode=hunter2",
        "postgresql://me:hunter2@localhost/stories?password2=hunter2",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:hunter2?uri=true",
    ],
)
def test_a_wrong_url_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="^DATABASE_URL: ") as caught:
        Library(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+pg8000"])
@pytest.mark.parametrize("mode", ["", "?sslmode=require", "?sslmode=disable"])
def test_an_unreachable_server_is_explained_without_the_password(scheme: str, mode: str) -> None:
    library = Library(f"{scheme}://me:hunter2@127.0.0.1:1/stories{mode}")
    for use in (
        library.migrate,
        lambda: library.save([story(1)]),
        lambda: library.get(id_of(1)),
        lambda: library.like(id_of(1), "me"),
        lambda: library.family(id_of(1)),
    ):
        with pytest.raises(LibraryError, match="127.0.0.1") as caught:
            use()
        error: BaseException | None = caught.value
        while error:
            assert "hunter2" not in str(error)
            error = error.__cause__ or error.__context__


def test_a_refused_login_is_explained(postgresql: str) -> None:
    library = Library(postgresql.replace("/postgres?", "/nobodys?"))
    with pytest.raises(LibraryError, match='database: database "nobodys" does not exist$'):
        library.get(id_of(1))


def test_it_goes_on_after_the_server_closed_its_connections(
    postgresql: str, tmp_path: Path
) -> None:
    library = Library(postgresql)
    library.save([story(1)])
    other = open_engine(postgresql)
    with other.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert library.get(id_of(1)) == story(1)
    other.dispose()
    library.close()


def test_a_database_may_come_later(tmp_path: Path) -> None:
    blocked = tmp_path / "data"
    blocked.write_text("no folder")
    library = Library(f"sqlite:///{blocked}/stories.db")
    with pytest.raises(LibraryError, match="data"):
        library.save([story(1)])
    blocked.unlink()
    library.save([story(1)])
    assert library.get(id_of(1))
    library.close()


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "stories.db"
    file.write_bytes(b"my diary\n" * 1000)
    with pytest.raises(LibraryError, match="not a database"):
        Library(f"sqlite:///{file}").migrate()
    assert file.read_bytes() == b"my diary\n" * 1000


def test_errors_have_no_text_that_anybody_typed(library: Library, engine: Engine) -> None:
    library.migrate()
    with engine.begin() as connection:
        for table in ("likes", "continuations", "stories"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
    with pytest.raises(LibraryError, match="stories") as caught:
        library.save([story(1, text="confidential", prefix="confidential")])
    error: BaseException | None = caught.value
    while error:
        assert "confidential" not in str(error)
        error = error.__cause__ or error.__context__


# SQLite's file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder" / "stories.db"


def test_the_file_is_its_owners_alone(file: Path) -> None:
    library = Library(f"sqlite:///{file}")
    library.save([story(1)])
    modes = {path.name: path.stat().st_mode & 0o777 for path in file.parent.iterdir()}
    assert modes.pop("stories.db") == 0o600
    assert set(modes.values()) == {0o600}, "the write-ahead log"
    library.close()


def test_a_backup_is_a_copy(file: Path, tmp_path: Path) -> None:
    library = Library(f"sqlite:///{file}")
    library.save([story(1)])
    with (
        closing(sqlite3.connect(file)) as source,
        closing(sqlite3.connect(tmp_path / "online.db")) as target,
    ):
        source.backup(target)
    library.close()
    (tmp_path / "copied.db").write_bytes(file.read_bytes())
    for name in ("online.db", "copied.db"):
        copy = Library(f"sqlite:///{tmp_path / name}")
        assert copy.get(id_of(1)) == story(1)
        copy.close()


def test_any_text_comes_back(tmp_path: Path) -> None:
    library = Library(f"sqlite:///{tmp_path}/stories.db")
    numbers = count()
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
    json = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    )

    @given(
        prefix=text, text=text, parameters=st.dictionaries(st.text(), json), created=st.datetimes()
    )
    def comes_back(
        prefix: str, text: str, parameters: dict[str, object], created: datetime
    ) -> None:
        saved = story(
            next(numbers),
            prefix=prefix,
            text=text,
            parameters=parameters,
            created=created.replace(tzinfo=UTC),
        )
        library.save([saved])
        assert library.get(saved.id) == saved
        (relative,) = library.family(saved.id)
        assert len(relative.excerpt) <= 80

    comes_back()
    library.close()
