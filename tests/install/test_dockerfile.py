"""What the Dockerfile promises can be read off it; `test_container_image.py` builds it."""

import json
import re

import pytest

from tests.install.image_build import ROOT

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = re.sub(r"\\\n\s*", " ", "\n".join(line for line in TEXT.splitlines() if not line.startswith("#")))
STAGES = re.split(r"^FROM ", INSTRUCTIONS, flags=re.MULTILINE)[1:]
LAST = STAGES[-1]


def argument_of(instruction: str, stage: str) -> str:
    (found,) = re.findall(rf"^{instruction} (.*)$", stage, flags=re.MULTILINE)
    return str(found)


def test_both_stages_stand_on_the_base_that_the_builder_chooses() -> None:
    """The environment holds a link to the interpreter it was made with."""
    assert [stage.splitlines()[0] for stage in STAGES] == ["${BASE} AS build", "${BASE}"]


@pytest.mark.parametrize(
    ("instruction", "expected"), [("ENTRYPOINT", ["extauthz"]), ("CMD", ["serve"])], ids=["ENTRYPOINT", "CMD"]
)
def test_it_starts_without_a_shell(instruction: str, expected: list[str]) -> None:
    assert json.loads(argument_of(instruction, LAST)) == expected


def test_health_is_checked_without_a_shell() -> None:
    assert json.loads(argument_of("HEALTHCHECK", LAST).partition("CMD ")[2]) == ["extauthz", "healthcheck"]


def test_user_is_a_number_and_not_root() -> None:
    """`runAsNonRoot` cannot judge a name."""
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", argument_of("USER", LAST))


def test_nothing_is_run_or_copied_from_the_checkout_in_the_last_stage() -> None:
    assert not re.search(r"^RUN ", LAST, flags=re.MULTILINE)
    assert argument_of("COPY", LAST) == "--from=build /opt/extauthz /opt/extauthz"


def test_network_settings_go_in_as_secrets_and_not_as_arguments() -> None:
    """A build argument stays in the image's history, and an index URL can hold a password."""
    assert set(re.findall(r"^ARG (\w+)", INSTRUCTIONS, flags=re.MULTILINE)) == {"BASE", "VERSION", "REVISION"}
    assert set(re.findall(r"type=secret,id=([\w.]+)", STAGES[0])) == {"pip.conf", "ca.crt"}


def test_only_what_is_copied_reaches_the_builder() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in ignore if line and not line.startswith("#")]
    copied = set(re.findall(r"^COPY (?!--from)(.+) \S+$", STAGES[0], flags=re.MULTILINE))
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == {name for line in copied for name in line.split()}


def test_only_released_wheels_are_installed_and_no_extra() -> None:
    assert "--only-binary :all:" in STAGES[0]
    assert "--constraint constraints.txt" in STAGES[0]
    assert re.search(r"/wheel/\*\.whl(?!\[)", STAGES[0])
