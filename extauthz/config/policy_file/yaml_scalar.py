"""Unquoted YAML scalars, as YAML 1.2 reads them where every reader agrees, and refused where readers differ."""

import re
from typing import Final
from unicodedata import category

from extauthz.config.policy_file.fault import Problem
from extauthz.pdp.quoting import quoted

# Eighteen digits fit 64 bits, so that no reader rounds them.
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_WORDS: Final = re.compile(r"(?i:yes|no|on|off|true|false|null)")
# Unquoted, these are text to some YAML readers and numbers, dates or merge keys to others.
_AMBIGUOUS: Final = re.compile(
    r"[-+]?[0-9][0-9_]*"  # 0123, 1_000, +1, more digits than 64 bits hold
    r"|[-+]?0[xob][0-9a-fA-F_]+"
    r"|[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"  # 1:30, base sixty
    r"|[-+]?\.(?i:inf|nan)"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?"
    r"|="
)
_VISIBLE_CONTROLS: Final = "\n\t"
_HIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs"})


def plain_scalar(text: str) -> tuple[str | int | bool | None, Problem | None]:
    """The value of an unquoted scalar, and what is wrong when readers would differ."""
    if text in ("", "~", "null"):
        return None, None
    if text in ("true", "false"):
        return text == "true", None
    if _INTEGER.fullmatch(text):
        return int(text), None
    if _WORDS.fullmatch(text):
        hint = "write true or false, or put it in quotes if it is text"
        return text, Problem(f"{quoted(text)} without quotes is a boolean to some readers and text to others", hint)
    if _AMBIGUOUS.fullmatch(text):
        hint = "put it in quotes if it is text; numbers are whole and decimal"
        return text, Problem(f"{quoted(text)} without quotes is a number or date to some readers", hint)
    return text, None


def hidden_character(text: str) -> Problem | None:
    """What is wrong with a text that shows less than it holds: controls, direction marks, zero-width characters."""
    for char in text:
        if not " " <= char <= "~" and char not in _VISIBLE_CONTROLS and category(char) in _HIDDEN_CATEGORIES:
            return Problem(f"the text has the invisible character U+{ord(char):04X}", "remove the character")
    return None
