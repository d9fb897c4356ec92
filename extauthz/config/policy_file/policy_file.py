"""The policy file: from text to a checked and compiled `Policy`, or to every fault in it.

Steps, each going on where the one before found faults: read the YAML; check the shape; check what values mean
(URLs, names that refer to others, scopes, rules, conditions, secrets); build.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extauthz.config.policy_file.fault import Fault, PolicyFaults, Position, Problem, Report, in_file_order
from extauthz.config.policy_file.policy_build import Secrets, SecretSource, build_policy
from extauthz.config.policy_file.shape_check import check_shape
from extauthz.config.policy_file.yaml_source import read_yaml
from extauthz.files import FileFault, read_regular_file
from extauthz.pdp.policy import Policy

# Bytes. A ConfigMap holds 1 MiB.
MAX_FILE_BYTES: Final = 1_048_576

_BEGINNING: Final = Position(1, 1)
_TOO_LARGE: Final = Problem(f"the policy is larger than {MAX_FILE_BYTES} bytes", "use patterns, or split it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """All that can be said about a policy file: its faults, or the policy and advice on it (in file order)."""

    policy: Policy | PolicyFaults
    advice: tuple[Fault, ...] = ()


def load_policy(
    path: str | Path, *, env: Mapping[str, str] | None = None, with_secrets: bool = True
) -> Policy | PolicyFaults:
    """Read a policy file. Never raises for what is in the file, nor for a file that cannot be read.

    Without secrets (`render`, `explain`, reviews) the files and variables that the policy names need not exist.
    """
    return _read_file(path, env=env, with_secrets=with_secrets, with_advice=False).policy


def review_file(path: str | Path, *, env: Mapping[str, str] | None = None, with_secrets: bool = True) -> Review:
    """As `load_policy`, with advice."""
    return _read_file(path, env=env, with_secrets=with_secrets, with_advice=True)


def review_bytes(content: bytes, source: str, secrets: Secrets = None) -> Review:
    """As `review_file`, from the bytes of a file; `source` is its name in messages."""
    return _read_bytes(content, source, secrets, with_advice=True)


def parse_policy(text: str, source: str = "policy", secrets: Secrets = None) -> Policy | PolicyFaults:
    """A policy from its text; `source` is the file's name in messages. Raises nothing, whatever the text."""
    return _read_text(text, source, secrets, with_advice=False).policy


def _read_file(path: str | Path, *, env: Mapping[str, str] | None, with_secrets: bool, with_advice: bool) -> Review:
    file = Path(path)
    source = SecretSource(env=os.environ if env is None else env, folder=file.parent) if with_secrets else None
    content = read_regular_file(file, MAX_FILE_BYTES)
    if isinstance(content, FileFault):
        return _unreadable(str(path), _TOO_LARGE if content.too_large else _cannot_be_read(content))
    return _read_bytes(content, str(path), source, with_advice=with_advice)


def _read_bytes(content: bytes, source: str, secrets: Secrets, *, with_advice: bool) -> Review:
    if len(content) > MAX_FILE_BYTES:
        return _unreadable(source, _TOO_LARGE)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        place = Position(before.count("\n") + 1, len(before) - before.rfind("\n"))
        return _unreadable(source, Problem("the policy is not UTF-8 text", "save the file as UTF-8"), place)
    return _read_text(text, source, secrets, with_advice=with_advice)


def _read_text(text: str, source: str, secrets: Secrets, *, with_advice: bool) -> Review:
    if len(text) > MAX_FILE_BYTES:
        return _unreadable(source, _TOO_LARGE)
    reading = read_yaml(text)
    told = [_fault(source, position, complaint) for position, complaint in reading.complaints]
    document = reading.document
    if document is None:
        return Review(policy=PolicyFaults(in_file_order(told)))
    report = Report(source, document, faults=told, broken=set(document.faulty_paths()))
    shape = check_shape(document.plain(), report)
    policy = None if shape is None else build_policy(shape, document, report, secrets, with_advice=with_advice)
    if report.faults or policy is None:
        return Review(policy=PolicyFaults(in_file_order(report.faults)))
    return Review(policy=policy, advice=in_file_order(report.advice))


def _cannot_be_read(fault: FileFault) -> Problem:
    return Problem(f"the policy file cannot be read: {fault.why}", "name a file that exists")


def _fault(source: str, position: Position, complaint: Problem) -> Fault:
    return Fault(
        file=source,
        line=position.line,
        column=position.column,
        path="",
        message=complaint.message,
        hint=complaint.hint,
    )


def _unreadable(source: str, complaint: Problem, position: Position = _BEGINNING) -> Review:
    return Review(policy=PolicyFaults((_fault(source, position, complaint),)))
