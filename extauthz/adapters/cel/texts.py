"""Searching in texts, by what it costs in the worst case.

Python's search in a text is linear only from some size on; below, and for short needles, it compares each place again.
Regular expressions run in RE2, which never backtracks: its time is at most the product of the text's length and the
program's size.
"""

from typing import Any, Final

from extauthz.adapters.cel.steps import Frame, UnknownError

# Instructions of a regular expression in the policy. A list of 60 words has 500.
MAX_PROGRAM: Final = 2_000
# Characters of a regular expression that is put together while a condition is evaluated.
MAX_DYNAMIC_PATTERN: Final = 128
# What makes a short pattern a large program.
_COSTLY: Final = ("{", "\\p", "\\P", "(?", "[[:")
# RE2 remembers sets of states. With so few instructions all sets fit, so that each is found once.
_REMEMBERED_PROGRAM: Final = 12
# Bytes for a program and what it remembers; programs beyond MAX_PROGRAM do not fit.
_RE2_BYTES: Final = 1 << 20


def search_steps(text: str, needle: str) -> int:
    """Steps that `needle in text` takes at most. Measured with texts and needles of one repeated character."""
    length, width = len(text), len(needle)
    if width > length or width == 0:
        return 1
    if width == 1:
        return 1 + length // 100
    if length < 2_500:
        return 1 + (length - width + 1) * (width + 8) // 200
    if length < 30_000 and width < 100:
        return 1 + length * (width + 8) // 200
    return 1 + length * (min(width, 50) + 8) // 200


def contains(frame: Frame, text: str, needle: str) -> bool:
    """Whether `needle` occurs in `text`."""
    frame.spend(search_steps(text, needle))
    return needle in text


class InvalidPatternError(ValueError):
    """A text that is not a regular expression of RE2, or one that does not fit into its memory."""


class Pattern:
    """A compiled regular expression. Raises `InvalidPatternError`."""

    __slots__ = ("_search", "_states", "size")

    def __init__(self, pattern: str) -> None:
        import re2  # noqa: PLC0415 - loaded when a policy has regular expressions

        options = re2.Options()
        options.max_mem = _RE2_BYTES
        options.log_errors = False
        options.never_capture = True
        try:
            compiled = re2.compile(pattern, options)
        except (re2.error, UnicodeEncodeError) as error:
            raise InvalidPatternError(str(error)) from None
        self._search: Any = compiled.search
        self.size: int = max(compiled.programsize, compiled.reverseprogramsize)
        # Sets of states that a text can lead to, where RE2 remembers them all.
        self._states = (1 << self.size) * self.size if self.size <= _REMEMBERED_PROGRAM else 0

    def steps(self, text: str) -> int:
        """Steps that searching in a text takes at most: 15 ns for each character and instruction."""
        length = len(text) if text.isascii() else 4 * len(text)
        each = min(length, self._states) if self._states else length
        return 40 + length // 30 + each * self.size // 7

    def found(self, frame: Frame, text: str) -> bool:
        """Whether the expression matches anywhere in the text."""
        frame.spend(self.steps(text))
        try:
            return self._search(text) is not None
        except UnicodeEncodeError:
            raise UnknownError("a string has half of a surrogate pair") from None


def matches(frame: Frame, text: str, pattern: str) -> bool:
    """`text.matches(pattern)` for a pattern that is not written in the policy as one literal."""
    if len(pattern) > MAX_DYNAMIC_PATTERN or any(sign in pattern for sign in _COSTLY):
        raise UnknownError("a regular expression that is not a literal is too long or has counts, classes or flags")
    frame.spend(200 + 30 * len(pattern))
    try:
        return Pattern(pattern).found(frame, text)
    except InvalidPatternError:
        raise UnknownError("what `matches` was given is not a regular expression") from None
