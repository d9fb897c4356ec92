"""Reading the corpus: YAML files beside this module, one per class of attack."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

import yaml

from extauthz.attack.case import Case, Era, Evidence, Expected, HeaderLines, Request, SessionUse

_FILE_KEYS: Final = frozenset(("about", "source", "cases"))
_CASE_KEYS: Final = frozenset(
    ("id", "why", "source", "servers", "eras", "needs", "evidence", "expect", "statuses", "reason", "request")
)
_REQUEST_KEYS: Final = frozenset(
    (
        *("method", "target", "headers", "body", "encoding", "mirror", "session"),
        *("chunked", "http_version", "half_close"),
    )
)
# Statuses that say "not like this" or "not you". A gateway that answers 5xx refuses too, but by accident.
_CLIENT_ERRORS: Final = frozenset((400, 401, 403, 404, 405, 406, 411, 413, 415, 421, 422, 426, 431))


class CorpusError(Exception):
    """A file of the corpus is not what it has to be. Says which, and what to mend."""


@cache
def load_corpus() -> tuple[Case, ...]:
    """All cases that come with this installation, by class and in the order of the files. Raises CorpusError."""
    cases: list[Case] = []
    for file in sorted(files("extauthz.attack").joinpath("cases").iterdir(), key=lambda one: one.name):
        if file.name.endswith(".yaml"):
            cases.extend(parse_cases(file.name.removesuffix(".yaml"), file.read_text(encoding="utf-8")))
    return tuple(cases)


def about_groups() -> Mapping[str, str]:
    """What each class of attack is about, in a sentence."""
    folder = files("extauthz.attack").joinpath("cases")
    return {
        file.name.removesuffix(".yaml"): str(yaml.safe_load(file.read_text(encoding="utf-8"))["about"])
        for file in sorted(folder.iterdir(), key=lambda one: one.name)
        if file.name.endswith(".yaml")
    }


def parse_cases(group: str, text: str) -> tuple[Case, ...]:
    """The cases of one file. Raises CorpusError."""
    document = yaml.safe_load(text)
    _known(group, document, _FILE_KEYS)
    cases = tuple(_case(group, entry, document.get("source", "")) for entry in document["cases"])
    names = [case.name for case in cases]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise CorpusError(f"{group}: the id {twice[0]} stands twice: give each case its own")
    return cases


def _case(group: str, entry: Any, source: str) -> Case:
    where = f"{group}/{entry.get('id') if isinstance(entry, dict) else entry}"
    _known(where, entry, _CASE_KEYS)
    try:
        expected = Expected(entry["expect"])
        return Case(
            group=group,
            name=str(entry["id"]),
            why=str(entry["why"]),
            source=str(entry.get("source", source)),
            expected=expected,
            statuses=frozenset(entry.get("statuses", _CLIENT_ERRORS)) if expected is Expected.REFUSE else frozenset(),
            reason=str(entry["reason"]),
            evidence=Evidence(entry.get("evidence", Evidence.RESULT)),
            eras=tuple(Era(era) for era in entry.get("eras", ())),
            servers=dict(entry.get("servers", {})),
            needs=frozenset(entry.get("needs", ())),
            request=_request(where, entry.get("request", {})),
        )
    except KeyError as error:
        raise CorpusError(f"{where}: {error.args[0]} is absent: add it") from error
    except ValueError as error:
        raise CorpusError(f"{where}: {error}: use one that there is") from error


def _request(where: str, entry: Any) -> Request:
    _known(where, entry, _REQUEST_KEYS)
    usual = Request()
    return Request(
        method=entry.get("method", usual.method),
        target=entry.get("target", usual.target),
        headers=_lines(where, entry.get("headers", {})),
        body=entry.get("body"),
        encoding=entry.get("encoding", usual.encoding),
        mirror=_mirror(entry.get("mirror", usual.mirror)),
        session=SessionUse(entry.get("session", SessionUse.SHARED)),
        chunked=entry.get("chunked", False),
        http_version=entry.get("http_version", usual.http_version),
        half_close=entry.get("half_close", False),
    )


def _mirror(given: Any) -> tuple[str, str]:
    method, name = given
    return str(method), str(name)


def _lines(where: str, headers: Any) -> HeaderLines:
    if not isinstance(headers, dict):
        raise CorpusError(f"{where}: headers are no mapping of names: write them so")
    found: list[tuple[str, tuple[str, ...]]] = []
    for name, given in headers.items():
        values = () if given is None else tuple(given) if isinstance(given, list) else (given,)
        if not all(isinstance(value, str) for value in values):
            raise CorpusError(f"{where}: a value of the header {name} is no text: put it in quotes")
        found.append((str(name), values))
    return tuple(found)


def _known(where: str, entry: Any, keys: frozenset[str]) -> None:
    if not isinstance(entry, dict):
        raise CorpusError(f"{where}: no mapping stands here: write one")
    unknown = sorted(map(str, entry.keys() - keys))
    if unknown:
        raise CorpusError(f"{where}: the key {unknown[0]} is unknown: use one of {', '.join(sorted(keys))}")
