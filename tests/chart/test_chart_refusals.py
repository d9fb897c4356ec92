"""Values that cannot work are refused, and the sentence says how to mend them."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, RefusedError, render, values_of

MINIMAL = values_of(CHART / "ci" / "minimal-values.yaml")
LONG_SECRET = "0123456789abcdef0123456789abcdef"
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("values", "wrong", "hint"),
    [
        ({}, "There is no policy", "--set-file policy.inline=extauthz.yaml"),
        ({"policy": {"inline": ""}}, "There is no policy", "policy.existingConfigMap.name"),
        ({"policy": {"inline": {}}}, "There is no policy", "policy.existingConfigMap.name"),
        ({"policy": {"inline": "x", "existingConfigMap": {"name": "y"}}}, "only one can be in force", "Remove one"),
        (MINIMAL | {"redis": {"url": "redis://r"}}, "no cache secret", "set cacheSecret.existingSecret.name"),
        (MINIMAL | {"redis": {"existingSecret": {"name": "r"}}}, "no cache secret", "openssl rand -base64 32"),
        (
            MINIMAL
            | {"redis": {"url": "redis://r", "existingSecret": {"name": "r"}}, "cacheSecret": {"value": LONG_SECRET}},
            "Both redis.url and redis.existingSecret.name",
            "remove the other",
        ),
        (
            MINIMAL | {"cacheSecret": {"value": LONG_SECRET, "existingSecret": {"name": "r"}}},
            "Both cacheSecret.value and",
            "remove cacheSecret.value",
        ),
        *(
            (MINIMAL | {"revocation": {way: {"existingSecret": {"name": "r"}}}}, "it tells one pod", "Set redis")
            for way in ("casdoorSsoSecret", "casdoorWebhookSecret")
        ),
        (MINIMAL | {"cacheSecret": {"value": LONG_SECRET[1:]}}, "shorter than 32 bytes", "openssl rand -base64 32"),
        (
            MINIMAL | {"cacheSecret": {"value": f"{LONG_SECRET},old"}},
            "shorter than 32 bytes",
            "openssl rand -base64 32",
        ),
        (MINIMAL | {"networkPolicy": {"grpcFrom": []}}, "would admit every pod", "Name the namespace"),
        (MINIMAL | {"serviceMonitor": {"enabled": True}}, "nobody may reach the admin port", "Name its namespace"),
        *(
            (
                MINIMAL | {"replicas": 1, "revocation": {way: {"existingSecret": {"name": "s"}}}},
                "nobody may reach the admin port",
                "networkPolicy.adminFrom",
            )
            for way in ("casdoorSsoSecret", "casdoorWebhookSecret")
        ),
        (MINIMAL | {"serviceAccount": {"create": False}}, "no account is named", "Set serviceAccount.name"),
        (
            MINIMAL | {"autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 2}},
            "maxReplicas is less than",
            "Raise the one",
        ),
        (MINIMAL | {"drain": {"delaySeconds": 30, "graceSeconds": 30}}, "killed before it has drained", "30 seconds"),
        *(
            (MINIMAL | {"extraEnv": [{"name": name, "value": "v"}]}, f"extraEnv sets {name}", f"Use {instead}")
            for name, instead in (
                ("EXTAUTHZ_POLICY", "policy.inline"),
                ("EXTAUTHZ_REDIS_URL", "redis.url"),
                ("EXTAUTHZ_CACHE_SECRET", "cacheSecret.existingSecret"),
                ("EXTAUTHZ_CACHE_SECRET_FILE", "cacheSecret.existingSecret"),
                ("EXTAUTHZ_ADMIN_TOKEN", "revocation.adminToken.existingSecret"),
                ("EXTAUTHZ_ADMIN_TOKEN_FILE", "revocation.adminToken.existingSecret"),
                ("EXTAUTHZ_CASDOOR_SSO_SECRET", "revocation.casdoorSsoSecret.existingSecret"),
                ("EXTAUTHZ_CASDOOR_SSO_SECRET_FILE", "revocation.casdoorSsoSecret.existingSecret"),
                ("EXTAUTHZ_CASDOOR_WEBHOOK_SECRET", "revocation.casdoorWebhookSecret.existingSecret"),
                ("EXTAUTHZ_CASDOOR_WEBHOOK_SECRET_FILE", "revocation.casdoorWebhookSecret.existingSecret"),
                ("EXTAUTHZ_WORKERS", "replicas"),
            )
        ),
    ],
)
def test_values_that_cannot_work_are_refused_with_a_cure(values: dict[str, Any], wrong: str, hint: str) -> None:
    with pytest.raises(RefusedError) as refused:
        render(values)
    assert wrong in str(refused.value)
    assert hint in str(refused.value)


@pytest.mark.parametrize("value", [LONG_SECRET, f"{LONG_SECRET},{LONG_SECRET[::-1]}", f"{LONG_SECRET}\n"])
def test_a_cache_secret_of_32_bytes_is_taken_and_a_second_one_for_rotation(value: str) -> None:
    assert render(MINIMAL | {"redis": {"url": "redis://r"}, "cacheSecret": {"value": value}}).one("Secret")


@pytest.mark.parametrize(
    ("values", "where"),
    [
        # misspelt, at every depth
        ({"polcy": {}}, "polcy"),
        ({"replicaCount": 3}, "replicaCount"),
        ({"policy": {"inlin": "x"}}, "inlin"),
        ({"redis": {"existingSecret": {"nmae": "x"}}}, "nmae"),
        ({"service": {"ports": {"http": 80}}}, "http"),
        ({"resources": {"request": {}}}, "request"),
        ({"networkPolicy": {"grpcFrom": [{"nameSpaceSelector": {}}]}}, "nameSpaceSelector"),
        ({"extraEnv": [{"name": "A", "vaule": "x"}]}, "vaule"),
        ({"otel": {"OTLP_ENDPOINT": "x"}}, "OTLP_ENDPOINT"),
        # of another type
        ({"replicas": "2"}, "/replicas"),
        ({"replicas": 1.5}, "/replicas"),
        ({"policy": {"inline": ["x"]}}, "/policy/inline"),
        ({"serviceMonitor": {"enabled": "yes"}}, "/serviceMonitor/enabled"),
        ({"podAnnotations": {"a": 1}}, "/podAnnotations/a"),
        ({"extraEnv": [{"name": "A", "value": 1}]}, "/extraEnv/0/value"),
        ({"extraObjects": {"a": 1}}, "/extraObjects"),
        # out of range
        ({"replicas": -1}, "/replicas"),
        ({"service": {"ports": {"grpc": 65536}}}, "/service/ports/grpc"),
        ({"service": {"ports": {"grpc": 0}}}, "/service/ports/grpc"),
        ({"image": {"digest": "sha256:abc"}}, "/image/digest"),
        ({"image": {"pullPolicy": "always"}}, "/image/pullPolicy"),
        ({"podDisruptionBudget": {"maxUnavailable": 0}}, "/podDisruptionBudget/maxUnavailable"),
        ({"drain": {"delaySeconds": 0}}, "/drain/delaySeconds"),
        # hostile
        ({"secretMounts": {"../../etc": "x"}}, "/secretMounts"),
        ({"secretMounts": {"kubernetes.io": "x"}}, "/secretMounts"),
        ({"policy": {"existingConfigMap": {"name": "a", "key": "../x"}}}, "/policy/existingConfigMap/key"),
        ({"image": {"tag": "1\nprivileged: true"}}, "/image/tag"),
        ({"fullnameOverride": "a\nb: c"}, "/fullnameOverride"),
        ({"serviceAccount": {"name": "a\nautomountServiceAccountToken: true"}}, "/serviceAccount/name"),
        ({"podLabels": {"app.kubernetes.io/name": "other"}}, "/podLabels"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_the_schema_refuses_and_names_the_place(values: dict[str, Any], where: str) -> None:
    with pytest.raises(RefusedError, match="schema") as refused:
        render(merged(MINIMAL, values))
    assert where in str(refused.value)


# What Kubernetes itself defines, and checks again when the objects are applied.
OPEN_TO_KUBERNETES = {
    "extraEnv/items/valueFrom/secretKeyRef",
    "extraEnv/items/valueFrom/configMapKeyRef",
    "extraEnv/items/valueFrom/fieldRef",
    "extraEnv/items/valueFrom/resourceFieldRef",
    "networkPolicy/egress/items/ports/items",
    "networkPeer/ipBlock",
    "networkPeer/namespaceSelector",
    "networkPeer/podSelector",
    "affinity/nodeAffinity",
    "affinity/podAffinity",
    "affinity/podAntiAffinity",
    "topologySpreadConstraints/items",
    "extraObjects/items",
}
# What `extauthz check` and Helm define.
OPEN_TO_OTHERS = {"policy/inline", "global"}


def test_the_schema_is_closed_at_every_level() -> None:
    found = open_objects("", SCHEMA)
    for name, definition in SCHEMA["definitions"].items():
        found |= open_objects(name, definition)
    assert found == OPEN_TO_KUBERNETES | OPEN_TO_OTHERS


def test_the_chart_can_be_part_of_another_one(tmp_path: Path) -> None:
    """Helm hands `global` to a subchart, and a parent's `condition` puts `enabled` there."""
    parent = tmp_path / "platform"
    (parent / "charts").mkdir(parents=True)
    (parent / "charts" / "extauthz").symlink_to(CHART)
    dependency = {"name": "extauthz", "version": "0.1.0", "condition": "extauthz.enabled"}
    chart = {"apiVersion": "v2", "name": "platform", "version": "1.0.0", "dependencies": [dependency]}
    (parent / "Chart.yaml").write_text(yaml.safe_dump(chart), encoding="utf-8")
    values = {"global": {"region": "eu"}, "extauthz": MINIMAL | {"enabled": True}}
    assert render(values, chart=parent, notes_of="platform/charts/extauthz").one("Deployment")


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(base)
    for key, value in over.items():
        deep = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if deep else value
    return result


def open_objects(path: str, schema: dict[str, Any]) -> set[str]:
    """Paths of the object schemas that take any key with any value."""
    found: set[str] = set()
    types = schema.get("type", [])
    if "object" in ([types] if isinstance(types, str) else types) and schema.get("additionalProperties", True) is True:
        found.add(path)
    children = {**schema.get("properties", {}), **({"items": schema["items"]} if "items" in schema else {})}
    for name, child in children.items():
        if isinstance(child, dict):
            found |= open_objects(f"{path}/{name}" if path else name, child)
    return found
