"""The pod can do nothing that it need not, and secrets stand in Secrets only."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from extauthz.config.settings.settings import KNOWN_VARIABLES
from tests.chart.rendering import CHART, CI_VALUES, render, values_of

MINIMAL = values_of(CHART / "ci" / "minimal-values.yaml")
REDIS_URL = "rediss://:a-password@redis:6379/0"
CACHE_SECRET = "0123456789abcdef0123456789abcdef"

variants = pytest.mark.parametrize("values_file", CI_VALUES, ids=lambda file: file.stem)


@variants
def test_pod_meets_the_restricted_pod_security_standard(values_file: Path) -> None:
    """Kubernetes, Pod Security Standards, Restricted."""
    release = render(values_of(values_file))
    assert release.pod()["spec"]["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert release.container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(release.pod()["spec"])
    assert all(
        set(volume) <= {"name", "configMap", "secret", "emptyDir"} for volume in release.pod()["spec"]["volumes"]
    )


@variants
def test_no_token_of_kubernetes_is_mounted(values_file: Path) -> None:
    release = render(values_of(values_file))
    assert release.pod()["spec"]["automountServiceAccountToken"] is False
    assert release.one("ServiceAccount")["automountServiceAccountToken"] is False


@variants
def test_no_right_in_the_cluster_is_asked_for(values_file: Path) -> None:
    kinds = {document["kind"] for document in render(values_of(values_file)).documents}
    assert not {kind for kind in kinds if "Role" in kind}


@variants
def test_every_mount_is_read_only_or_scratch(values_file: Path) -> None:
    release = render(values_of(values_file))
    scratch = {volume["name"] for volume in release.pod()["spec"]["volumes"] if "emptyDir" in volume}
    assert all(m.get("readOnly") or m["name"] in scratch for m in release.container()["volumeMounts"])


def test_names_of_services_do_not_reach_the_environment() -> None:
    """Service links of a Service called `extauthz` would set EXTAUTHZ_PORT and its like."""
    assert render(MINIMAL).pod()["spec"]["enableServiceLinks"] is False


def test_secrets_given_as_values_stand_in_the_secret_only() -> None:
    release = render(MINIMAL | {"redis": {"url": REDIS_URL}, "cacheSecret": {"value": CACHE_SECRET}})
    assert {key: base64.b64decode(value).decode() for key, value in release.one("Secret")["data"].items()} == {
        "redis-url": REDIS_URL,
        "cache-secret": CACHE_SECRET,
    }
    for document in release.documents:
        if document["kind"] != "Secret":
            written = json.dumps(document)
            for secret in (REDIS_URL, "a-password", CACHE_SECRET):
                assert secret not in written
                assert base64.b64encode(secret.encode()).decode() not in written
    assert "a-password" not in release.notes
    assert CACHE_SECRET not in release.notes


def test_redis_url_comes_from_the_secret_and_the_cache_secret_is_a_file() -> None:
    release = render(MINIMAL | {"redis": {"url": REDIS_URL}, "cacheSecret": {"value": CACHE_SECRET}})
    assert release.env()["EXTAUTHZ_REDIS_URL"]["valueFrom"] == {
        "secretKeyRef": {"name": "extauthz", "key": "redis-url"}
    }
    assert release.env()["EXTAUTHZ_CACHE_SECRET_FILE"]["value"] == "/run/extauthz/cache-secret"
    assert secret_volume(release.pod(), "cache-secret") == {
        "secretName": "extauthz",
        "defaultMode": 0o440,
        "items": [{"key": "cache-secret", "path": "cache-secret"}],
    }
    assert mount_path(release.container(), "cache-secret") == "/run/extauthz"


def test_secrets_of_the_operator_are_used_and_none_is_made() -> None:
    release = render(values_of(CHART / "ci" / "redis-values.yaml"))
    assert release.all("Secret") == ()
    assert release.env()["EXTAUTHZ_REDIS_URL"]["valueFrom"] == {
        "secretKeyRef": {"name": "extauthz-redis", "key": "url"}
    }
    assert secret_volume(release.pod(), "cache-secret")["secretName"] == "extauthz-cache"
    assert secret_volume(release.pod(), "cache-secret")["items"] == [{"key": "secret", "path": "cache-secret"}]


def test_further_secrets_are_files_in_a_folder_of_their_own() -> None:
    release = render(MINIMAL | {"secretMounts": {"casdoor": "casdoor-introspection"}})
    assert mount_path(release.container(), "secret-casdoor") == "/run/secrets/casdoor"
    assert secret_volume(release.pod(), "secret-casdoor") == {
        "secretName": "casdoor-introspection",
        "defaultMode": 0o440,
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"redis": {"url": REDIS_URL}, "cacheSecret": {"value": CACHE_SECRET + "!"}},
        {"redis": {"url": REDIS_URL + "1"}, "cacheSecret": {"value": CACHE_SECRET}},
    ],
    ids=["cache-secret", "redis-url"],
)
def test_a_changed_secret_restarts_the_pods(changed: dict[str, Any]) -> None:
    before = render(MINIMAL | {"redis": {"url": REDIS_URL}, "cacheSecret": {"value": CACHE_SECRET}})
    after = render(MINIMAL | changed)
    assert before.pod()["metadata"]["annotations"] != after.pod()["metadata"]["annotations"]


def test_by_default_pods_may_ask_and_nobody_reaches_the_admin_port() -> None:
    """Where the Envoys are the chart cannot know. From outside the cluster nobody gets in."""
    policy = render(MINIMAL).one("NetworkPolicy")["spec"]
    assert policy["ingress"] == [{"from": [{"namespaceSelector": {}}], "ports": [{"port": "grpc", "protocol": "TCP"}]}]
    assert policy["policyTypes"] == ["Ingress"]
    assert not render(MINIMAL | {"networkPolicy": {"enabled": False}}).all("NetworkPolicy")


def test_with_the_network_policy_only_the_named_peers_get_in() -> None:
    envoys = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gateways"}}}]
    policy = render(MINIMAL | {"networkPolicy": {"enabled": True, "grpcFrom": envoys}}).one("NetworkPolicy")["spec"]
    assert policy["ingress"] == [{"from": envoys, "ports": [{"port": "grpc", "protocol": "TCP"}]}]
    assert policy["policyTypes"] == ["Ingress"]


def test_named_readers_of_the_admin_port_do_not_reach_the_other() -> None:
    envoys, prometheus = (
        [{"podSelector": {"matchLabels": {"app": "e"}}}],
        [{"podSelector": {"matchLabels": {"app": "p"}}}],
    )
    values = MINIMAL | {"networkPolicy": {"enabled": True, "grpcFrom": envoys, "adminFrom": prometheus}}
    ingress = render(values).one("NetworkPolicy")["spec"]["ingress"]
    assert {rule["ports"][0]["port"]: rule["from"] for rule in ingress} == {"grpc": envoys, "admin": prometheus}


def test_restricted_egress_still_resolves_names() -> None:
    envoys: list[dict[str, Any]] = [{"podSelector": {}}]
    redis = {"to": [{"podSelector": {}}], "ports": [{"port": 6379}]}
    values = MINIMAL | {"networkPolicy": {"enabled": True, "grpcFrom": envoys, "egress": [redis]}}
    spec = render(values).one("NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["egress"] == [{"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}, redis]


def secret_volume(pod: dict[str, Any], name: str) -> dict[str, Any]:
    (volume,) = [v for v in pod["spec"]["volumes"] if v["name"] == name]
    return dict(volume["secret"])


def mount_path(container: dict[str, Any], name: str) -> str:
    (mount,) = [m for m in container["volumeMounts"] if m["name"] == name]
    assert mount["readOnly"] is True
    return str(mount["mountPath"])


WAYS_IN = {
    "adminToken": ("admin-token", "EXTAUTHZ_ADMIN_TOKEN_FILE", "token"),
    "casdoorSsoSecret": ("casdoor-sso-secret", "EXTAUTHZ_CASDOOR_SSO_SECRET_FILE", "secret"),
    "casdoorWebhookSecret": ("casdoor-webhook-secret", "EXTAUTHZ_CASDOOR_WEBHOOK_SECRET_FILE", "secret"),
}


ADMIN_REACHED: dict[str, Any] = {"networkPolicy": {"adminFrom": [{"podSelector": {}}]}}


@pytest.mark.parametrize("value", WAYS_IN)
def test_each_way_to_revoke_is_opened_by_its_own_secret_which_is_a_file(value: str) -> None:
    volume, variable, key = WAYS_IN[value]
    release = render(
        MINIMAL | {"replicas": 1, "revocation": {value: {"existingSecret": {"name": "mine"}}}} | ADMIN_REACHED
    )
    assert {name for name in release.env() if name in {each[1] for each in WAYS_IN.values()}} == {variable}
    assert release.env()[variable]["value"] == f"{mount_path(release.container(), volume)}/secret"
    assert secret_volume(release.pod(), volume) == {
        "secretName": "mine",
        "defaultMode": 0o440,
        "items": [{"key": key, "path": "secret"}],
    }
    assert not release.all("Secret")


def test_nobody_can_revoke_unless_told() -> None:
    release = render(MINIMAL)
    assert not {variable for _, variable, _ in WAYS_IN.values()} & release.env().keys()


def test_every_variable_of_the_chart_is_one_of_the_service() -> None:
    values = {value: {"existingSecret": {"name": "mine"}} for value in WAYS_IN}
    release = render(
        MINIMAL
        | {"redis": {"url": REDIS_URL}, "cacheSecret": {"value": CACHE_SECRET}, "revocation": values}
        | ADMIN_REACHED
    )
    assert {name for name in release.env() if name.startswith("EXTAUTHZ_")} <= set(KNOWN_VARIABLES)
