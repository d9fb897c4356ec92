"""The client library's reader of replies, with bounds: a reply that only claims to be huge costs memory and time before
anything of it has come.

The library makes room for as many elements as an array announces (`*1000000000`: 8 GB asked for, and three seconds in
which the whole process stands still while they are given back), and collects a string until it ends.
"""

import re
from typing import Any, Final, Literal

from redis._parsers import _AsyncHiredisParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse

MAX_REPLY_BYTES: Final = 64 * 1024 * 1024
"""Of one reply: the longest of ours, a thousand revocations or a log of 100,000 entries, has some 10 MiB."""
MAX_COUNT_DIGITS: Final = 6
"""Of the number of elements that an array, map, set, push or attribute may announce: our longest has 100,001."""

_COUNT: Final = re.compile(rb"[*%%~>|]\+?0*[1-9][0-9]{%d,}\r\n" % MAX_COUNT_DIGITS)
"""Anywhere in what comes. In the bytes of an entry it may stand by chance: once in 10**16 of them. Counts longer than
the overlap below are none to the library, which refuses them."""
_OVERLAP_BYTES: Final = 64
"""Of a piece, kept for a count that goes on in the next."""


class BoundedParser(_AsyncHiredisParser):
    """One per connection."""

    def __init__(self, socket_read_size: int) -> None:
        super().__init__(socket_read_size)
        self._left = MAX_REPLY_BYTES
        self._tail = b""

    async def read_response(self, disable_decoding: bool = False, push_request: bool = False) -> Any:  # noqa: FBT001, FBT002 - the parent's signature
        """The next reply. Raises InvalidResponse for one that goes beyond the bounds."""
        self._left = MAX_REPLY_BYTES
        return await super().read_response(disable_decoding=disable_decoding, push_request=push_request)

    async def read_from_socket(self) -> Literal[True]:
        """Take the next piece."""
        stream: Any = self._stream
        reader: Any = self._reader
        piece: bytes = await stream.read(self._read_size)
        if not piece:
            raise RedisConnectionError("Connection closed by server.")
        self._left -= len(piece)
        if self._left < 0 or _COUNT.search(self._tail + piece):
            raise InvalidResponse("a reply larger than any that we ask for")
        self._tail = piece[-_OVERLAP_BYTES:]
        reader.feed(piece)
        return True
