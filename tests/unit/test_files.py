"""Reading never waits and never ends up elsewhere; writing goes to the path that was named, or nowhere."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from extauthz.files import FileFault, in_memory, read_regular_file, write_file


def fifo(path: Path) -> None:
    os.mkfifo(path)


def linked(path: Path) -> None:
    fifo(path.with_name("f"))
    path.symlink_to("f")


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


NO_FILES: dict[str, Callable[[Path], None]] = {
    "FIFO": fifo,
    "link to a FIFO": linked,
    "directory": Path.mkdir,
    "socket": bound_socket,
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "link to a terminal": lambda path: path.symlink_to("/dev/tty"),
    "link to nothing": lambda path: path.symlink_to("nothing"),
    "link to itself": lambda path: path.symlink_to(path),
    "nothing": lambda path: None,
}


@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_not_a_file_is_told_at_once(tmp_path: Path, kind: str) -> None:
    NO_FILES[kind](tmp_path / "x")
    found = read_regular_file(tmp_path / "x", 100)
    assert isinstance(found, FileFault)
    assert found.why
    assert not found.too_large


def test_a_fifo_that_somebody_writes_to_is_none_either(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    descriptor = os.open(tmp_path / "x", os.O_RDWR)
    os.write(descriptor, b"secret")
    assert read_regular_file(tmp_path / "x", 100) == FileFault("it is a FIFO, not a regular file")
    os.close(descriptor)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "", "x" * 5000])
def test_what_is_not_a_name(name: str) -> None:
    assert isinstance(read_regular_file(name, 100), FileFault)
    assert isinstance(write_file(name, b"x"), FileFault)


@pytest.mark.parametrize("size", [0, 1, 99, 100])
def test_a_file_up_to_the_bound_is_read_whole_also_through_links(tmp_path: Path, size: int) -> None:
    (tmp_path / "x").write_bytes(b"x" * size)
    (tmp_path / "link").symlink_to("x")
    (tmp_path / "again").symlink_to("link")
    assert read_regular_file(tmp_path / "again", 100) == b"x" * size


def test_a_file_beyond_the_bound_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as sparse:
        sparse.truncate(1 << 40)
    assert read_regular_file(tmp_path / "x", 100) == FileFault("larger than 100 bytes", too_large=True)


def test_a_file_that_says_it_is_empty_is_read_to_its_end() -> None:
    """Those of /proc do."""
    assert b"Name:" in read_regular_file("/proc/self/status", 100_000)  # type: ignore[operator]  # not a fault


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "x").write_bytes(b"x" * 200)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("fifo", "x", "none", "."):
        read_regular_file(tmp_path / name, 100)
        write_file(tmp_path / name, b"x")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_writing_makes_a_file_or_replaces_it_whole(tmp_path: Path) -> None:
    assert write_file(tmp_path / "x", b"one") is None
    (tmp_path / "x").chmod(0o640)
    held = (tmp_path / "x").open("rb")
    assert write_file(tmp_path / "x", b"two") is None
    with held:
        assert held.read() == b"one"
    assert (tmp_path / "x").read_bytes() == b"two"
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


def test_a_new_file_has_the_usual_rights(tmp_path: Path) -> None:
    (tmp_path / "usual").write_bytes(b"")
    write_file(tmp_path / "x", b"x")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize("kind", [kind for kind in NO_FILES if kind != "nothing"])
def test_writing_goes_nowhere_else(tmp_path: Path, kind: str) -> None:
    NO_FILES[kind](tmp_path / "x")
    before = sorted(tmp_path.iterdir())
    assert isinstance(write_file(tmp_path / "x", b"x"), FileFault)
    assert sorted(tmp_path.iterdir()) == before


def test_a_link_to_a_file_leaves_that_file_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "x").symlink_to("precious")
    assert write_file(tmp_path / "x", b"x") == FileFault("it is a link, which is not followed: name the file itself")
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_bytes_in_memory_can_be_read_by_name() -> None:
    with in_memory(b"content") as one, in_memory(b"other") as two:
        assert (Path(one).read_bytes(), Path(two).read_bytes()) == (b"content", b"other")
