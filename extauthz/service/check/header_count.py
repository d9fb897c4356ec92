"""How many header lines a `CheckRequest` has, found without reading it: the generated code takes up to 0.3 us for each,
before anybody can look at how many they are.

    CheckRequest.attributes = 1 > AttributeContext.request = 4 > Request.http = 2 >
        HttpRequest.headers = 3 (one entry a line), HttpRequest.header_map = 13 > HeaderMap.headers = 1

Wire format: Protocol Buffers, Encoding. A field is a tag (number << 3 | type) and a value, which has its
length before it when it is of type 2. This decides nothing but that there are too many: what it does not understand is
left to the generated code, whose counts are looked at as well.
"""

from typing import Final

MAX_STEPS: Final = 192
"""Fields looked at, 0.2 us each: more than Envoy writes before one line too many (`pdp.request.MAX_HEADERS`)."""

_LENGTH_DELIMITED: Final = 2
_FIXED_BYTES: Final = {1: 8, 5: 4}
_VARINT: Final = 0
_LONGEST_VARINT: Final = 10
_LOW_BITS: Final = 0x7F

_CHECK_REQUEST, _ATTRIBUTES, _REQUEST, _HTTP, _HEADER_MAP = range(5)
_INSIDE: Final[tuple[dict[int, int], ...]] = (
    {1: _ATTRIBUTES},
    {4: _REQUEST},
    {2: _HTTP},
    {13: _HEADER_MAP},
    {},
)
"""By message: its fields that are looked into, and the messages that they hold."""
_LINES: Final = (0, 0, 0, 3, 1)
"""By message: its field with one header line; 0 for none."""


def more_lines_than(data: bytes, most: int) -> bool:
    """Whether the message has more header lines than `most`, as far as can be told in `MAX_STEPS`."""
    waiting = [(_CHECK_REQUEST, 0, len(data))]
    lines = steps = 0
    while waiting:
        message, at, end = waiting.pop()
        line_field, inside = _LINES[message], _INSIDE[message]
        while at < end:
            steps += 1
            if steps > MAX_STEPS:
                return False
            tag = data[at]
            at += 1
            if tag > _LOW_BITS:
                tag, at = _varint(data, at - 1, end)
            kind = tag & 7
            if kind == _LENGTH_DELIMITED and at < end:
                length = data[at]
                at += 1
                if length > _LOW_BITS:
                    # Written out for the two bytes that most lengths of header lines take.
                    if at < end and data[at] <= _LOW_BITS:
                        length += (data[at] << 7) - 128
                        at += 1
                    else:
                        length, at = _varint(data, at - 1, end)
                field = tag >> 3
                if field == line_field:
                    lines += 1
                    if lines > most:
                        return True
                elif field in inside:
                    waiting.append((inside[field], at, min(end, at + length)))
                at += length
            elif kind == _VARINT:
                _, at = _varint(data, at, end)
            elif kind in _FIXED_BYTES:
                at += _FIXED_BYTES[kind]
            else:
                break
    return False


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The number at a place, and the place after it; 0 and the end for one that is cut off or too long."""
    value = shift = 0
    for place in range(at, min(end, at + _LONGEST_VARINT)):
        byte = data[place]
        value |= (byte & _LOW_BITS) << shift
        if byte <= _LOW_BITS:
            return value, place + 1
        shift += 7
    return 0, end
