"""Secrets show themselves to nobody who does not ask."""

import copy
import pickle
from pathlib import Path

import pytest

from extauthz.config.policy_file.fault import Problem
from extauthz.config.settings.secret import MAX_SECRET_BYTES, Secret, secret_from_environment, secret_from_file


def test_a_secret_shows_in_no_text() -> None:
    secret = Secret("hunter2-hunter2")
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", repr([secret])):
        assert "hunter2" not in text
    assert secret.reveal() == "hunter2-hunter2"


def test_a_secret_cannot_be_pickled_or_copied_into_a_message() -> None:
    for way in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            way(Secret("x"))


def test_secrets_compare_by_value_and_hash_without_it() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert hash(Secret("a")) == hash(Secret("b"))


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"abc", "abc"), (b"abc\n", "abc"), (b"abc\r\n", "abc"), (b" a b \n", " a b "), ("é\n".encode(), "é")],
)
def test_a_file_without_its_line_end(tmp_path: Path, content: bytes, value: str) -> None:
    (tmp_path / "secret").write_bytes(content)
    secret = secret_from_file(tmp_path / "secret")
    assert isinstance(secret, Secret)
    assert secret.reveal() == value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b" \n", "is empty"),
        (b"\xff", "not UTF-8"),
        (b"a" * (MAX_SECRET_BYTES + 1), "too large"),
    ],
)
def test_files_that_hold_no_secret(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "secret").write_bytes(content)
    found = secret_from_file(tmp_path / "secret")
    assert isinstance(found, Problem)
    assert message in found.message


def test_a_missing_file_and_a_folder_are_complaints(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, Path("a\0b"), Path("\ud800")):
        found = secret_from_file(path)
        assert isinstance(found, Problem)
        assert "cannot be read" in found.message


def test_a_variable() -> None:
    found = secret_from_environment("A", {"A": "abc"})
    assert isinstance(found, Secret)
    assert found.reveal() == "abc"
    for env in ({}, {"A": ""}, {"A": "  "}):
        assert isinstance(secret_from_environment("A", env), Problem)
