"""Lines to real pipes and files: whole, in order, and never at the price of a hanging service."""

import logging
import os
import select
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from extauthz.adapters.telemetry import line_stream
from extauthz.adapters.telemetry.audit import MAX_LINE_BYTES
from extauthz.adapters.telemetry.line_stream import LineStream


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        try:
            os.close(end)
        except OSError:
            continue


def fill(writing: int) -> None:
    """Leave no room in the pipe."""
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"\0" * MAX_LINE_BYTES)
    except BlockingIOError:
        pass
    os.set_blocking(writing, True)


def drain(reading: int) -> bytes:
    got = b""
    while select.select([reading], [], [], 0)[0]:
        got += os.read(reading, 1 << 20)
    return got


def test_lines_arrive_whole_and_in_order(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    stream = LineStream(writing)
    lines = [b'{"n":%d,"pad":"%s"}\n' % (number, b"x" * (number * 7 % 900)) for number in range(80)]
    assert sum(stream.add(line) for line in lines) == 0
    assert stream.flush() == 0
    assert drain(reading) == b"".join(lines)


def test_nothing_is_written_in_pieces_that_other_processes_could_break_up(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, writing = pipe
    pieces: list[bytes] = []

    def write(_: int, data: bytes) -> int:
        pieces.append(data)
        return len(data)

    monkeypatch.setattr(line_stream, "os", SimpleNamespace(write=write))
    stream = LineStream(writing)
    for _ in range(100):
        stream.add(b"x" * 1_000 + b"\n")
    stream.flush()
    assert all(len(piece) <= MAX_LINE_BYTES and piece.endswith(b"\n") for piece in pieces)
    assert len(pieces) == 25


def test_a_reader_that_takes_nothing_costs_lines_but_not_the_thread(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(line_stream, "MAX_STALL_S", 0.01)
    caplog.set_level(logging.WARNING)
    reading, writing = pipe
    fill(writing)
    stream = LineStream(writing)
    for _ in range(5):
        stream.add(b"lost\n")
    assert stream.flush() == 5
    stream.add(b"lost as well\n")
    assert stream.flush() == 1
    assert len(caplog.records) == 1
    assert "nobody reads them" in caplog.text
    drain(reading)
    stream.add(b"back\n")
    assert stream.flush() == 0
    assert drain(reading) == b"back\n"
    assert "can be written again" in caplog.text


def test_a_reader_that_is_gone_is_survived(pipe: tuple[int, int], caplog: pytest.LogCaptureFixture) -> None:
    reading, writing = pipe
    os.close(reading)
    stream = LineStream(writing)
    for _ in range(3):
        stream.add(b"lost\n")
        assert stream.flush() == 1
    assert caplog.text.count("cannot be written") == 1


def test_a_descriptor_that_was_closed_is_survived(pipe: tuple[int, int]) -> None:
    _, writing = pipe
    os.close(writing)
    stream = LineStream(writing)
    stream.add(b"lost\n")
    assert stream.flush() == 1


def test_a_full_disk_is_survived(caplog: pytest.LogCaptureFixture) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        stream = LineStream(full)
        stream.add(b"lost\n")
        assert stream.flush() == 1
        assert "No space left" in caplog.text
    finally:
        os.close(full)


def test_a_file_gets_the_lines(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        stream = LineStream(descriptor)
        stream.add(b"one\n")
        stream.add(b"two\n")
        assert stream.flush() == 0
        assert stream.flush() == 0
    finally:
        os.close(descriptor)
    assert path.read_bytes() == b"one\ntwo\n"
