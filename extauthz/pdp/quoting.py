"""How messages show values that came from outside: quoted, escaped, cut."""

from difflib import get_close_matches
from typing import Final

# Characters of a value that a message repeats. Longer values are cut: a message is one line.
SHOWN_CHARS: Final = 80


def quoted(value: str) -> str:
    """A value for a message: in double quotes, printable ASCII, cut when long."""
    cut = value if len(value) <= SHOWN_CHARS else value[:SHOWN_CHARS] + "…"
    return f'"{visible(cut)}"'


def visible(text: str) -> str:
    """The text with everything escaped that a terminal would act on, or show as nothing (`str.isprintable`)."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def visible_lines(text: str) -> str:
    """The same for a text of several lines, which stay lines."""
    return "\n".join(map(visible, text.split("\n")))


def one_line(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.split())


def suggestion(name: str, known: tuple[str, ...], otherwise: str) -> str:
    """`did you mean "x"?` when a known name is close, else `otherwise`."""
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {quoted(close[0])}?" if close else otherwise
