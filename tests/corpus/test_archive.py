import io
import os
import resource
import stat
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.archive import READ_ERRORS, Archive, ArchiveError

MB = 1 << 20


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def contents(*paths: Path) -> dict[str, bytes]:
    with Archive(paths) as archive:
        assert archive.problems == []
        return {str(file.path): file.open().read() for file in archive}


def problems(*paths: Path) -> list[str]:
    """What is wrong with the paths and the files there: place and message."""
    with Archive(paths) as archive:
        found = [f"{place}: {what}" for place, what in archive.problems]
        for file in archive:
            try:
                with file.open() as stream:
                    while stream.read(MB):
                        pass
            except ArchiveError as error:
                found.append(str(error))
            except READ_ERRORS as error:
                found.append(f"{file.path}: {error}")
        return found


@pytest.fixture(autouse=True)
def nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Reading an archive leaves the folder that one works in, and its parent, as they were."""
    (tmp_path / "outside" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "outside" / "here")
    yield
    assert [path.name for path in (tmp_path / "outside").rglob("*")] == ["here"]


# ---- what is there ---------------------------------------------------------------------------


def test_folders_zips_and_zips_in_zips(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "1.txt").write_bytes(b"one")
    (folder / "2.txt").write_bytes(b"two")
    inner = zipped({"3.txt": b"three", "c/4.txt": b"four"})
    (folder / "posts.ZIP").write_bytes(zipped({"inner.zip": inner, "5.txt": b"five"}))
    assert contents(folder) == {
        "export/2.txt": b"two",
        "export/a/b/1.txt": b"one",
        "export/posts.ZIP/inner.zip/3.txt": b"three",
        "export/posts.ZIP/inner.zip/c/4.txt": b"four",
        "export/posts.ZIP/5.txt": b"five",
    }


def test_files_know_their_companions(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"x/1.json": b"1", "x/2.json": b"2", "3.json": b"3"}))
    with Archive([tmp_path / "a.zip"]) as archive:
        file = archive.find(PurePosixPath("a.zip/x/1.json"))
        assert file and file.name == "1.json" and file.suffix == ".json" and file.size == 1
        sibling = file.sibling("2.json")
        assert sibling and sibling.head() == b"2" and file.sibling("3.json") is None
        assert [str(found.path) for found in archive.matching("*/x/*.json")] == [
            "a.zip/x/1.json",
            "a.zip/x/2.json",
        ]
        assert len(archive) == 3


def test_paths_of_the_same_name_are_kept_apart(tmp_path: Path) -> None:
    for year in ("2019", "2020"):
        (tmp_path / year).mkdir()
        (tmp_path / year / "posts.csv").write_text(year)
        (tmp_path / year / "comments.csv").write_text(year)
    paths = [
        tmp_path / year / name
        for year in ("2019", "2020")
        for name in ("posts.csv", "comments.csv")
    ]
    assert contents(*paths) == {
        "posts.csv": b"2019",
        "comments.csv": b"2019",
        "2/posts.csv": b"2020",
        "2/comments.csv": b"2020",
    }
    assert len(contents(tmp_path / "2019", tmp_path / "2019" / ".." / "2019")) == 2


def test_hidden_files_are_left_out(tmp_path: Path) -> None:
    names = [
        ".DS_Store",
        "__MACOSX/a.txt",
        "__MACOSX/._a.txt",
        ".git/config",
        "a/.b/c.txt",
        "a.txt",
    ]
    folder = tmp_path / ".export"
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "b.zip").write_bytes(zipped(dict.fromkeys(names, b"x")))
    assert list(contents(folder)) == [".export/a.txt", ".export/b.zip/a.txt"]


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="nowhere.zip: no such file or folder"):
        Archive([tmp_path, tmp_path / "nowhere.zip"])


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "gone.txt").write_bytes(b"x")
    (tmp_path / "a" / "locked.zip").write_bytes(zipped({"b.txt": b"x"}))
    (tmp_path / "a" / "locked.zip").chmod(0)
    (tmp_path / "a" / "loop.txt").symlink_to("loop.txt")
    with Archive([tmp_path / "a"]) as archive:
        (tmp_path / "a" / "gone.txt").unlink()
        file = archive.find(PurePosixPath("a/gone.txt"))
        assert file and file.head() == b""
        with pytest.raises(ArchiveError, match=r"a/gone\.txt: .*No such file"):
            file.open()
        places = [place for place, _ in archive.problems]
        assert not any("locked" in what for _, what in archive.problems)  # once is enough
        assert places == [*([] if os.geteuid() == 0 else ["a/locked.zip"]), "a/loop.txt"]


def test_links_are_followed_inside_the_folder_only(tmp_path: Path) -> None:
    for name in ("a/b/1.txt", "secret/2.txt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(name)
    links = {"in.txt": "b/1.txt", "out.txt": "../secret/2.txt", "circle": ".", "out": "../secret"}
    for link, target in (links | {"gone.txt": "nowhere"}).items():
        (tmp_path / "a" / link).symlink_to(target)
    with Archive([tmp_path / "a"]) as archive:
        assert [str(file.path) for file in archive] == ["a/in.txt", "a/b/1.txt"]
        told = "is a link: give what it leads to"
        assert archive.problems == [
            ("a/out", told),
            ("a/gone.txt", "No such file or directory"),
            ("a/out.txt", told),
        ]
    assert contents(tmp_path / "a" / "in.txt") == {"1.txt": b"a/b/1.txt"}


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "1.txt").write_bytes(b"one")
    assert list(contents(tmp_path)) == [f"{tmp_path.name}/1.txt"]
    with pytest.raises(ArchiveError, match=r"pipe\.zip: is neither a file nor a folder"):
        Archive([tmp_path / "pipe.zip"])


def test_a_folder_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/1.txt", "a/locked/2.txt", "a/z/3.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    scandir = os.scandir

    def refusing(path: str | Path) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with Archive([tmp_path / "a"]) as archive:
        assert [str(file.path) for file in archive] == ["a/1.txt", "a/z/3.txt"]
        assert archive.problems == [("a/locked", "Permission denied")]

    def refusing_too(path: Path) -> bool:
        if path.name == "3.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return False

    monkeypatch.setattr(Path, "is_symlink", refusing_too)
    with Archive([tmp_path / "a"]) as archive:
        assert [str(file.path) for file in archive] == ["a/1.txt"]
        assert archive.problems[-1] == ("a/z/3.txt", "Permission denied")


NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0"), min_size=1, max_size=20
).filter(lambda name: not name.startswith(".") and not name.lower().endswith(".zip"))


@given(
    st.dictionaries(
        st.lists(NAMES.filter(lambda name: name != "__MACOSX"), min_size=1, max_size=3).map(
            "/".join
        ),
        st.binary(max_size=2000),
        max_size=5,
    ),
    st.sampled_from(
        [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    ),
    st.booleans(),
)
def test_what_was_put_into_a_zip_comes_out(
    tmp_path_factory: pytest.TempPathFactory,
    files: dict[str, bytes],
    compression: int,
    in_another: bool,
) -> None:
    path = tmp_path_factory.mktemp("made") / "a.zip"
    content = zipped(files, compression)
    path.write_bytes(zipped({"b.zip": content}) if in_another else content)
    prefix = "a.zip/b.zip/" if in_another else "a.zip/"
    assert contents(path) == {prefix + name: content for name, content in files.items()}


# ---- names -----------------------------------------------------------------------------------


def test_no_name_leads_anywhere(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in (
            "../secret.txt",
            "/etc/passwd",
            "..\\..\\evil.txt",
            "C:\\evil.txt",
            "//a/b.txt",
        ):
            archive.writestr(name, b"from the zip")
        archive.writestr(link, b"../secret.txt")
    (tmp_path / "a.zip").write_bytes(out.getvalue())
    assert contents(tmp_path / "a.zip") == {
        "a.zip/../secret.txt": b"from the zip",
        "a.zip/etc/passwd": b"from the zip",
        "a.zip/../../evil.txt": b"from the zip",
        "a.zip/C:/evil.txt": b"from the zip",
        "a.zip/a/b.txt": b"from the zip",
        "a.zip/link.txt": b"../secret.txt",
    }


def renamed(content: bytes, old: bytes, new: bytes, flags: int) -> bytes:
    """A zip with another name in both headers, of the same length, and other flags."""
    content = content.replace(old, new)
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.index(signature) + place
        content = content[:start] + struct.pack("<H", flags) + content[start + 2 :]
    return content


def test_names_in_old_and_new_encodings(tmp_path: Path) -> None:
    plain = zipped({"Grxxx.txt": b"x"})
    (tmp_path / "a.zip").write_bytes(renamed(plain, b"Grxxx", b"Gr\x81\xe1e", 0))  # cp437
    (tmp_path / "b.zip").write_bytes(renamed(plain, b"Grxxx", "Grüß".encode()[:5], 0x800))
    assert list(contents(tmp_path / "a.zip")) == ["a.zip/Grüße.txt"]
    [problem] = problems(tmp_path / "b.zip")  # half a letter
    assert problem.startswith("b.zip: is no zip, or was cut short: download it again")
    (tmp_path / "c.zip").write_bytes(zipped({"Grüße \N{GRINNING FACE}.txt": b"x"}))
    assert list(contents(tmp_path / "c.zip")) == ["c.zip/Grüße \N{GRINNING FACE}.txt"]
    # The two headers may differ: the directory's counts.
    differing = plain.replace(b"Grxxx", b"\xff\xff\xff\xff\xff", 1)
    (tmp_path / "d.zip").write_bytes(differing[:6] + b"\x00\x08" + differing[8:])
    assert contents(tmp_path / "d.zip") == {"d.zip/Grxxx.txt": b"x"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_files_of_a_name_the_last_counts(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", b"old")
        archive.writestr("b.txt", b"other")
        archive.writestr("a.txt", b"new")
    assert problems(tmp_path / "a.zip") == [
        "a.zip/a.txt: is there more than once: the last one counts"
    ]
    with Archive([tmp_path / "a.zip"]) as archive:
        assert [file.head() for file in archive] == [b"new", b"other"]


# ---- bombs -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def zeros() -> bytes:
    """Of 15 MB, deflated: as much as is always allowed, nearly."""
    return zipped({"zeros.txt": bytes(15 * MB)})


def test_a_file_out_of_proportion(tmp_path: Path) -> None:
    bomb = zipped({"bomb.txt": bytes(17 * MB), "good.txt": b"good"})
    (tmp_path / "a.zip").write_bytes(bomb)
    with Archive([tmp_path / "a.zip"]) as archive:
        bomb_file, good = archive
        with pytest.raises(ArchiveError, match=r"would unpack to 17,825,792 bytes: a zip bomb\?"):
            bomb_file.open()
        assert bomb_file.head() == b"" and good.head() == b"good"


def test_many_files_out_of_proportion(tmp_path: Path) -> None:
    content = bytes(15 * MB)
    (tmp_path / "a.zip").write_bytes(zipped({f"{n}.txt": content for n in range(3)}))
    assert problems(tmp_path / "a.zip") == ["a.zip: would unpack to 47,185,920 bytes: a zip bomb?"]
    # As many bytes that cannot be made smaller are none.
    (tmp_path / "b.zip").write_bytes(zipped({f"{n}.txt": os.urandom(6 * MB) for n in range(3)}))
    assert problems(tmp_path / "b.zip") == []


def test_bombs_in_zips(tmp_path: Path, zeros: bytes) -> None:
    good = zipped({"good.txt": b"good"})
    (tmp_path / "a.zip").write_bytes(zipped({"1.zip": zeros, "2.zip": zeros, "3.zip": good}))
    size = 2 * 15 * MB + 2 * len(zeros) + len(good)
    assert problems(tmp_path / "a.zip") == [
        f"a.zip/2.zip: would unpack to {size:,} bytes: a zip bomb?"
    ]
    with Archive([tmp_path / "a.zip"]) as archive:
        assert [str(file.path) for file in archive] == [
            "a.zip/1.zip/zeros.txt",
            "a.zip/3.zip/good.txt",
        ]


def overlapping(count: int, size: int) -> bytes:
    """Many entries of the central directory, and one file that they all are."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(bytes(size)) + packer.flush()
    crc = zlib.crc32(bytes(size))
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 0, crc, len(data), size, 1, 0) + b"a"
    central = b"".join(
        struct.pack(
            "<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 0, crc, len(data), size, 4, 0, 0, 0, 0, 0, 0
        )
        + f"{n:04}".encode()
        for n in range(count)
    )
    start = len(local) + len(data)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(central), start, 0)
    return local + data + central + end


def test_overlapping_files(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(overlapping(1000, MB))
    assert problems(tmp_path / "a.zip") == [
        f"a.zip: would unpack to {1000 * MB:,} bytes: a zip bomb?"
    ]


def test_a_zip_in_itself_and_deep_nests_end(tmp_path: Path) -> None:
    content = zipped({"deep.txt": b"deep"})
    for _ in range(20):
        content = zipped({"r.zip": content, "beside.txt": b"x"})
    (tmp_path / "r.zip").write_bytes(content)
    assert problems(tmp_path / "r.zip") == [
        "r.zip/r.zip/r.zip/r.zip: zips in zips in zips: a bomb? It is not opened"
    ]
    with Archive([tmp_path / "r.zip"]) as archive:
        assert len(archive) == 3


def test_wide_nests_end(tmp_path: Path) -> None:
    content = zipped({"a.txt": bytes(MB)})
    for _ in range(2):
        content = zipped({f"{n}.zip": content for n in range(30)})
    (tmp_path / "a.zip").write_bytes(content)
    found = problems(tmp_path / "a.zip")
    assert found and all(problem.endswith("a zip bomb?") for problem in found)
    with Archive([tmp_path / "a.zip"]) as archive:
        assert sum(file.size for file in archive) <= max(16 * MB, 200 * len(content))


def test_zips_in_zips_take_little_memory(tmp_path: Path) -> None:
    inner = zipped({"a.txt": os.urandom(9 * MB)}, zipfile.ZIP_STORED)
    (tmp_path / "a.zip").write_bytes(
        zipped({f"{n}.zip": inner for n in range(9)}, zipfile.ZIP_STORED)
    )
    found = contents(tmp_path / "a.zip")
    assert len(found) == 9 and len(set(found.values())) == 1


# ---- large and many ----------------------------------------------------------------------------


def test_many_zips_with_few_open_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = zipped({f"{n}.txt": b"%d" % n * 9999 for n in range(3)})
    (tmp_path / "inner.zip").write_bytes(zipped({f"{n}.zip": inner for n in range(50)}))
    for number in range(50):
        (tmp_path / f"{number}.zip").write_bytes(zipped({"a.txt": b"%d" % number}))
    # As if the zips in the zip were too large for it.
    monkeypatch.setattr("corpus.archive._INNER_IN_MEMORY", 0)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_files = sum(1 for _ in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files + 9, limits[1]))
    try:
        found = contents(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(found) == 50 + 50 * 3
    assert found[f"{tmp_path.name}/inner.zip/7.zip/2.txt"] == b"2" * 9999
    assert found[f"{tmp_path.name}/7.zip/a.txt"] == b"7"


def test_two_large_zips_in_a_zip_are_read_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {name: os.urandom(30_000) for name in ("1", "2")}
    inner = zipped({"deep.zip": zipped(words), **words})
    (tmp_path / "a.zip").write_bytes(zipped({"b.zip": inner, "c.zip": inner}))
    monkeypatch.setattr("corpus.archive._INNER_IN_MEMORY", 0)
    with Archive([tmp_path / "a.zip"]) as archive:
        streams = [(file.open(), words[file.name]) for file in archive]
        assert len(streams) == 8
        for start in range(0, 30_000, 10_000):
            for stream, content in streams:
                assert stream.read(10_000) == content[start : start + 10_000]


def test_sizes_and_counts_beyond_32_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    content = zipped({"a.txt": b"some words", "b.txt": b"more of them, " * 3})
    assert b"PK\6\6" in content and content.count(b"\xff" * 8) > 1
    for before in (b"", b"a program that unpacks itself"):
        (tmp_path / "a.zip").write_bytes(before + content)
        assert contents(tmp_path / "a.zip") == {
            "a.zip/a.txt": b"some words",
            "a.zip/b.txt": b"more of them, " * 3,
        }


@pytest.mark.parametrize("where", ["a.zip", "inside.zip"])
def test_a_place_that_no_file_can_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(zipfile, "ZIP64_LIMIT", 10)
        content = zipped({"a.txt": b"some words", "b.txt": b"more"}, zipfile.ZIP_STORED)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        place = archive.getinfo("b.txt").header_offset
    at = content.rindex(struct.pack("<Q", place))
    content = content[:at] + b"\xff" * 8 + content[at + 8 :]
    spoilt = content if where == "a.zip" else zipped({"a.zip": content})
    (tmp_path / where).write_bytes(spoilt)
    assert len(problems(tmp_path / where)) == 1


def test_the_entries_of_a_large_directory_take_little_memory(tmp_path: Path) -> None:
    """Pictures, of which a social network's download may have ten times as many."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(10_000):
            archive.writestr(f"messages/inbox/somebody_1234567890/photos/{number:030}.jpg", b"")
    tracemalloc.start()
    with Archive([tmp_path / "a.zip"]) as found:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(found) == 10_000
    assert peak < 700 * 10_000


# ---- broken zips -----------------------------------------------------------------------------


def test_a_locked_zip(tmp_path: Path) -> None:
    content = zipped({"a.txt": b"x"})
    (tmp_path / "a.zip").write_bytes(renamed(content, b"", b"", 0x1))
    assert problems(tmp_path / "a.zip") == [
        "a.zip/a.txt: is locked with a password: unpack it first"
    ]


def test_an_unknown_compression(tmp_path: Path) -> None:
    content = bytearray(zipped({"a.txt": b"x"}))
    content[8:10] = struct.pack("<H", 97)
    start = content.index(b"PK\1\2") + 10
    content[start : start + 2] = struct.pack("<H", 97)
    (tmp_path / "a.zip").write_bytes(content)
    [problem] = problems(tmp_path / "a.zip")
    assert problem.startswith("a.zip/a.txt: ") and "compression" in problem


def test_a_wrong_checksum(tmp_path: Path) -> None:
    content = zipped({"a.txt": b"some words", "b.txt": b"x"}, zipfile.ZIP_STORED)
    (tmp_path / "a.zip").write_bytes(content.replace(b"some words", b"same words"))
    assert problems(tmp_path / "a.zip") == ["a.zip/a.txt: Bad CRC-32 for file 'a.txt'"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: b"",
        lambda content: b"<html>Not found</html>",
        lambda content: content.replace(b"PK\1\2", b"PK\0\0"),
    ],
)
def test_no_zip_or_half_of_one(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    whole = zipped({"a.txt": b"x" * 1000, "b.txt": b"y"})
    (tmp_path / "a.zip").write_bytes(spoil(whole))
    (tmp_path / "b.zip").write_bytes(zipped({"c.zip": spoil(whole), "good.txt": b"good"}))
    places = ["a.zip", "b.zip/c.zip"]
    found = problems(tmp_path / "a.zip", tmp_path / "b.zip")
    for place, problem in zip(places, found, strict=True):
        assert problem.startswith(f"{place}: is no zip, or was cut short: download it again")


@given(st.data())
def test_spoilt_zips_raise_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    compression = data.draw(
        st.sampled_from(
            [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
        )
    )
    inner = zipped({"a.txt": b"words " * 30, "ü.txt": b"more"}, compression)
    content = bytearray(zipped({"b.zip": inner, "c.txt": b"words"}, zipfile.ZIP_STORED))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("spoilt") / "a.zip"
    path.write_bytes(content)
    problems(path)
