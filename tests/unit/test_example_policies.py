"""Every policy that we show or ship as an example takes its keys from one application's own key set."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from extauthz.config.policy_file.fault import PolicyFaults
from extauthz.config.policy_file.policy_file import review_bytes
from extauthz.demo.system import JWKS_APPLICATION, Addresses, demo_policy
from extauthz.pdp.token.key_scope import application_of, signed_by_any_tenant

ROOT: Final = Path(__file__).parents[2]
_FENCE: Final = re.compile(r"^```ya?ml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _texts() -> Iterator[tuple[str, str]]:
    for file in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "charts").rglob("*.md"))):
        for number, block in enumerate(_FENCE.findall(file.read_text())):
            yield f"{file.relative_to(ROOT)}#{number}", block
    for folder in ("envoy", "charts", "tests/data/policies/good"):
        for file in sorted((ROOT / folder).rglob("*.yaml")):
            if "templates" not in file.parts:
                yield str(file.relative_to(ROOT)), file.read_text()


def _policies(text: str) -> Iterator[str]:
    """The text itself when it is a policy, and every policy that stands in it as a value (Helm values, ConfigMaps)."""
    try:
        documents: list[Any] = list(yaml.safe_load_all(text))
    except yaml.YAMLError:
        return
    for document in documents:
        if isinstance(document, dict) and "issuers" in document:
            yield text
        for value in _strings(document):
            if "issuers:" in value and value != text:
                yield from _policies(value)


def _strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for one in value.values():
                yield from _strings(one)
        case list():
            for one in value:
                yield from _strings(one)


EXAMPLES: Final = {
    **{f"{name}/{number}": one for name, text in _texts() for number, one in enumerate(_policies(text))},
    "demo": demo_policy(
        Addresses(
            public="http://127.0.0.1:8080",
            issuer="http://127.0.0.1:8000",
            jwks=f"http://127.0.0.1:8000/.well-known/{JWKS_APPLICATION}/jwks",
            upstream="http://127.0.0.1:9000/mcp",
        )
    ),
}


def test_the_examples_are_found() -> None:
    places = {name.partition("/")[0].partition("#")[0] for name in EXAMPLES}
    assert places >= {"README.md", "docs", "envoy", "charts", "tests", "demo"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_other_tenant_can_sign(name: str) -> None:
    review = review_bytes(EXAMPLES[name].encode(), name)
    assert not isinstance(review.policy, PolicyFaults), str(review.policy)
    assert signed_by_any_tenant(review.policy.issuers.values()) == ()
    for issuer in review.policy.issuers.values():
        if issuer.profile == "casdoor" and issuer.organizations:
            assert application_of(issuer.jwks_uri), "accepting shared keys is no example"
