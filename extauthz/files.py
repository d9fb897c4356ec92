"""Files that somebody names: read without ever waiting for one, and written to no other place than the one named.

A path in the environment or in a policy may lead to anything by the time that it is opened. A FIFO without a writer
blocks whoever opens it, a device may never end, and a file may grow while it is read. Links are followed when reading:
Kubernetes mounts ConfigMaps and Secrets by them.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_READ_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_WRITE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE_MODE: Final = 0o666
"""Of a file that is written anew, less the process's umask."""
_PIECE_BYTES: Final = 262_144

_KINDS: Final = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True, slots=True)
class FileFault:
    """A file that cannot be used. `why` continues "… cannot be read: "."""

    why: str
    too_large: bool = False


def read_regular_file(path: str | Path, max_bytes: int) -> bytes | FileFault:
    """The content of a regular file of at most `max_bytes`. Never blocks on what is not one, and never raises."""
    try:
        descriptor = os.open(path, _READ_FLAGS)
    except OSError as error:
        # A socket, or a FIFO's kind that cannot be opened.
        why = "not a regular file" if error.errno == errno.ENXIO else error.strerror or type(error).__name__
        return FileFault(why)
    except ValueError:
        return FileFault("not a file name")
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = next((name for holds, name in _KINDS if holds(mode)), "something else")
            return FileFault(f"it is {kind}, not a regular file")
        content = bytearray()
        while piece := os.read(descriptor, min(_PIECE_BYTES, max_bytes + 1 - len(content))):
            content += piece
            if len(content) > max_bytes:
                return FileFault(f"larger than {max_bytes} bytes", too_large=True)
        return bytes(content)
    except OSError as error:
        return FileFault(error.strerror or type(error).__name__)
    finally:
        os.close(descriptor)


def write_file(path: str | Path, content: bytes) -> FileFault | None:
    """Put `content` at exactly this path, whole or not at all; what is wrong, or None.

    Refuses a path that is there and is a link, or no regular file. Written beside it and renamed, so that a reader sees
    the old content or the new, and that a link made meanwhile is replaced, not followed.
    """
    target = Path(path)
    try:
        found = os.lstat(target)
    except FileNotFoundError:
        mode = None
    except (OSError, ValueError) as error:
        return FileFault(getattr(error, "strerror", None) or "not a file name")
    else:
        mode = stat.S_IMODE(found.st_mode)
        if stat.S_ISLNK(found.st_mode):
            return FileFault("it is a link, which is not followed: name the file itself")
        if not stat.S_ISREG(found.st_mode):
            return FileFault("it is not a regular file")
    beside = target.with_name(f".{target.name[:200]}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(beside, _WRITE_FLAGS, _NEW_FILE_MODE)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(content)
                if mode is not None:
                    os.fchmod(opened.fileno(), mode)
            beside.replace(target)
        except BaseException:
            with suppress(OSError):
                beside.unlink()
            raise
    except OSError as error:
        return FileFault(error.strerror or type(error).__name__)
    return None


@contextmanager
def in_memory(content: bytes) -> Iterator[str]:
    """A path at which a library that reads only files finds these bytes; they are on no disk."""
    descriptor = os.memfd_create("extauthz", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
        opened.flush()
        yield f"/proc/self/fd/{descriptor}"
