"""Secrets are cut out of every text that leaves the process, whoever wrote it: `Redactor`.

A server that does not know a command quotes it, with its arguments; a library puts what it was given into an exception.
Nobody can list the texts in which a secret may come back, so each way out (log lines, the admin port, errors of
commands, tracebacks) passes its text through the same function. What this cannot see is a secret that somebody else
has changed, beyond the forms below.
"""

import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import Final
from urllib.parse import quote, quote_plus

CUT: Final = "[secret]"
"""What stands in place of a secret."""
HEAD_CHARS: Final = 12
"""So many characters from the beginning of a secret are taken for it: servers cut long arguments short. Fewer are too
often a word."""
ALONE_CHARS: Final = 8
"""A secret shorter than this is cut out where it stands alone, not out of words and ids: those would no longer be what
they are."""

_ALONE: Final = r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2}))"
"""Before a short secret: nothing that a word is made of, or an escape of a URL."""


class Redactor:
    """Knows secrets, and cuts them out of texts. Thread-safe: `learn` replaces what `cut` reads in one step."""

    __slots__ = ("_forms", "_heads", "_secrets")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._heads: re.Pattern[str] | None = None
        self._forms: dict[str, tuple[str, ...]] = {}
        self.learn(secrets)

    def __repr__(self) -> str:
        return f"Redactor({len(self._secrets)} secrets)"

    def learn(self, secrets: Iterable[str]) -> None:
        """Know these as well. What was a secret once stays one: texts about it may still be under way."""
        known = self._secrets | {secret for secret in secrets if secret.strip()}
        if known == self._secrets:
            return
        forms: dict[str, list[str]] = {}
        for form in {form for secret in known for form in _forms(secret)}:
            forms.setdefault(form[:HEAD_CHARS], []).append(form)
        heads = (_head(head) for head in sorted(forms, key=len, reverse=True))
        self._forms = {head: tuple(several) for head, several in forms.items()}
        self._heads = re.compile("|".join(heads))
        self._secrets = known

    def cut(self, text: str) -> str:
        """The text without secrets. Cost: one search over the text."""
        heads = self._heads
        if heads is None:
            return text
        parts: list[str] = []
        at = 0
        while found := heads.search(text, at):
            parts += (text[at : found.start()], CUT)
            at = max(_common(text, found.start(), form) for form in self._forms[found[0]])
        return "".join((*parts, text[at:])) if parts else text


def _forms(secret: str) -> Iterator[str]:
    """How a secret may be written by the time that it comes back."""
    yield secret
    yield quote(secret, safe="", errors="replace")
    yield quote(secret, errors="replace")
    yield quote_plus(secret, errors="replace")
    yield escape(secret)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    yield secret.encode("unicode_escape", "replace").decode("ascii")
    yield repr(secret.encode(errors="replace"))[2:-1]
    yield " ".join(secret.split())


def _head(head: str) -> str:
    pattern = re.escape(head)
    return pattern if len(head) >= ALONE_CHARS else rf"{_ALONE}{pattern}(?![A-Za-z0-9])"


def _common(text: str, start: int, form: str) -> int:
    """Where the text stops being the form."""
    end = start
    for char in form:
        if text[end : end + 1] != char:
            break
        end += 1
    return end
