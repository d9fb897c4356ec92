"""Secrets on their way from files and environment to where they are used: readable only on purpose."""

from collections.abc import Mapping
from hmac import compare_digest
from pathlib import Path
from typing import Final

from extauthz.config.fault import Complaint, quoted

# Bytes. A client secret or an HMAC secret has some tens; a larger file is not one.
MAX_SECRET_BYTES: Final = 4_096


class Secret:
    """A value that neither `repr`, `str`, comparison time nor pickling gives away. `reveal` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(Secret)

    def __reduce__(self) -> str:
        msg = "a secret cannot be pickled: hand over the name of its file or variable instead"
        raise TypeError(msg)


def secret_from_file(path: Path) -> Secret | Complaint:
    """The content of a file without the line end that editors and `echo` add."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a file name"
        return Complaint(f"the secret file {quoted(str(path))} cannot be read: {why}", "mount or create the file")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return Complaint(f"the secret file {quoted(str(path))} is not UTF-8 text", "write the secret as text")
    if len(content) > MAX_SECRET_BYTES:
        mend = f"name a file of at most {MAX_SECRET_BYTES} bytes"
        return Complaint(f"the secret file {quoted(str(path))} is too large", mend)
    value = text.removesuffix("\n").removesuffix("\r")
    if not value.strip():
        return Complaint(f"the secret file {quoted(str(path))} is empty", "write the secret into it")
    return Secret(value)


def secret_from_environment(name: str, env: Mapping[str, str]) -> Secret | Complaint:
    """The value of an environment variable."""
    value = env.get(name, "")
    if not value.strip():
        return Complaint(f"the environment variable {quoted(name)} is not set", "set it, or use a file")
    return Secret(value)
