"""Secrets on their way from files and environment to where they are used: readable only on purpose."""

import re
from collections.abc import Mapping
from hmac import compare_digest
from pathlib import Path
from typing import Final

from extauthz.config.policy_file.fault import Problem
from extauthz.files import FileFault, read_regular_file
from extauthz.pdp.quoting import quoted

# Bytes. A client secret or an HMAC secret has some tens; a larger file is not one.
MAX_SECRET_BYTES: Final = 4_096
# Bytes: the length of HMAC-SHA-256's output, below which the secret is the weakest part (RFC 2104 §3), and more than
# anybody guesses.
MIN_SECRET_BYTES: Final = 32


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


def secret_from_file(path: Path) -> Secret | Problem:
    """The content of a file without the line end that editors and `echo` add."""
    content = read_regular_file(path, MAX_SECRET_BYTES)
    if isinstance(content, FileFault):
        if content.too_large:
            hint = f"name a file of at most {MAX_SECRET_BYTES} bytes"
            return Problem(f"the secret file {quoted(str(path))} is too large", hint)
        return Problem(f"the secret file {quoted(str(path))} cannot be read: {content.why}", "mount or create the file")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return Problem(f"the secret file {quoted(str(path))} is not UTF-8 text", "write the secret as text")
    value = text.removesuffix("\n").removesuffix("\r")
    if not value.strip():
        return Problem(f"the secret file {quoted(str(path))} is empty", "write the secret into it")
    return Secret(value)


def secret_from_environment(name: str, env: Mapping[str, str]) -> Secret | Problem:
    """The value of an environment variable."""
    value = env.get(name, "")
    if not value.strip():
        return Problem(f"the environment variable {quoted(name)} is not set", "set it, or use a file")
    return Secret(value)


def secrets_setting(
    name: str, env: Mapping[str, str], *, at_most: int
) -> tuple[tuple[Secret, ...], tuple[tuple[str, Problem], ...]]:
    """The secrets of a setting that is a variable, or a file named by the variable with `_FILE` behind its name.

    Several are separated by commas or line ends. Beside them comes what is wrong, each with the variable's name.
    """
    text, file = env.get(name, "").strip(), env.get(f"{name}_FILE", "").strip()
    setting = name
    if text and file:
        return (), ((name, Problem(f"set together with {name}_FILE", "set one of the two")),)
    if file:
        setting = f"{name}_FILE"
        found = secret_from_file(Path(file))
        if isinstance(found, Problem):
            return (), ((setting, found),)
        text = found.reveal()
    try:
        text.encode()
    except UnicodeEncodeError:
        return (), ((setting, Problem("not UTF-8 text", "write the secret as hex or base64")),)
    parts = [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]
    complaints = []
    if len(parts) > at_most:
        message = f"{len(parts)} secrets, separated by commas or line ends"
        hint = "keep two: the new one first, then the one that it replaces" if at_most == 2 else f"keep {at_most}"
        complaints.append((setting, Problem(message, hint)))
    short = [len(part.encode()) for part in parts if len(part.encode()) < MIN_SECRET_BYTES]
    if short:
        message = f"a secret of {short[0]} bytes, where {MIN_SECRET_BYTES} are needed"
        complaints.append((setting, Problem(message, "use a longer one, as from `openssl rand -hex 32`")))
    return tuple(map(Secret, parts)), tuple(complaints)
