"""The policy reaches the pod unchanged, and a changed one reaches a running pod."""

from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, Release, render, values_of

POLICY = values_of(CHART / "ci" / "minimal-values.yaml")["policy"]["inline"]


def with_policy(policy: object, **more: Any) -> Release:
    return render({"policy": {"inline": policy}, **more})


def policy_in(release: Release) -> str:
    text: str = release.one("ConfigMap")["data"]["extauthz.yaml"]
    return text


def policy_volume(release: Release) -> dict[str, Any]:
    (volume,) = [v for v in release.pod()["spec"]["volumes"] if v["name"] == "policy"]
    return dict(volume)


@pytest.mark.parametrize(
    "text",
    [
        POLICY,
        "version: 1",
        "  # indented before the first key\n  version: 1\n",
        "when: \"args.city != '{{ .Values.image.tag }}' && true\"\n",
        "a: 'tab\\there' # ends without a line break",
        "- first\r\n- second\r\n",
        "# ünïcode ✓\nversion: 1\n",
    ],
    ids=["policy", "bare", "indented", "braces", "no-newline", "crlf", "unicode"],
)
def test_text_arrives_byte_for_byte(text: str) -> None:
    """Line numbers in the service's messages are those of the operator's file."""
    assert policy_in(with_policy(text)) == text


@pytest.mark.parametrize("number", [1, 1_000_000, 1_048_576, 16_777_216])
def test_whole_numbers_of_an_object_stay_whole(number: int) -> None:
    """Helm holds numbers as floating point, where a million would become 1e+06, which YAML 1.1 reads as text."""
    loaded = yaml.safe_load(policy_in(with_policy({"version": 1, "max_body_bytes": number})))
    assert loaded["max_body_bytes"] == number
    assert isinstance(loaded["max_body_bytes"], int)


def test_an_object_means_what_the_same_text_means() -> None:
    parsed = yaml.safe_load(POLICY)
    assert yaml.safe_load(policy_in(with_policy(parsed))) == parsed


def test_rules_of_an_object_keep_their_order() -> None:
    rules = [{"tools": [name]} for name in ("z", "a", "m")]
    assert yaml.safe_load(policy_in(with_policy({"rules": rules})))["rules"] == rules


def test_the_configmap_is_mounted_as_a_directory() -> None:
    """The kubelet updates a directory and never a subPath: the hot reload depends on it."""
    release = with_policy(POLICY)
    (mount,) = [m for m in release.container()["volumeMounts"] if m["name"] == "policy"]
    assert mount == {"name": "policy", "mountPath": "/etc/extauthz", "readOnly": True}
    assert policy_volume(release)["configMap"] == {"name": "extauthz"}
    assert release.env()["EXTAUTHZ_POLICY"]["value"] == "/etc/extauthz/extauthz.yaml"


def test_a_changed_policy_leaves_the_pods_alone() -> None:
    before, after = with_policy(POLICY), with_policy(POLICY + "# changed\n")
    assert before.one("ConfigMap") != after.one("ConfigMap")
    assert before.pod() == after.pod()


def test_a_configmap_of_the_operator_is_used_and_none_is_made() -> None:
    release = render({"policy": {"existingConfigMap": {"name": "policies", "key": "mcp.yaml"}}})
    assert release.all("ConfigMap") == ()
    assert policy_volume(release)["configMap"] == {"name": "policies"}
    assert release.env()["EXTAUTHZ_POLICY"]["value"] == "/etc/extauthz/mcp.yaml"
