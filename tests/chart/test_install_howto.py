"""docs/howto/install-kubernetes.md says what the chart makes and what the policy means."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.chart.rendering import ROOT, Release, render

PAGE = (ROOT / "docs" / "howto" / "install-kubernetes.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
POLICY_TEXT, VALUES_TEXT = BLOCKS[0], BLOCKS[1]
POLICY = yaml.safe_load(POLICY_TEXT)
OBJECTS: list[dict[str, Any]] = [document for block in BLOCKS[2:] for document in yaml.safe_load_all(block)]
NAMESPACE = "mcp-authz"


def installed() -> Release:
    values = yaml.safe_load(VALUES_TEXT) | {"policy": {"inline": POLICY_TEXT}}
    return render(values, name="extauthz", namespace=NAMESPACE)


def objects(kind: str) -> list[dict[str, Any]]:
    found = [document for document in OBJECTS if document.get("kind") == kind]
    assert found
    return found


def mesh_provider() -> dict[str, Any]:
    (provider,) = next(d for d in OBJECTS if "meshConfig" in d)["meshConfig"]["extensionProviders"]
    return dict(provider)


def metadata_documents() -> list[dict[str, Any]]:
    """The RFC 9728 documents that the two gateways serve."""
    bodies = [f["spec"]["directResponse"].get("body", {}).get("inline") for f in objects("HTTPRouteFilter")]
    for route in objects("VirtualService")[0]["spec"]["http"]:
        bodies.append(route.get("directResponse", {}).get("body", {}).get("string"))
    return [json.loads(body) for body in bodies if body]


def test_values_of_the_page_install() -> None:
    release = installed()
    assert release.one("ConfigMap")["data"]["extauthz.yaml"] == POLICY_TEXT
    assert release.one("NetworkPolicy")


def test_commands_install_what_the_page_wires() -> None:
    assert (
        f"helm install extauthz charts/extauthz --namespace {NAMESPACE} --values values.yaml "
        "--set-file policy.inline=extauthz.yaml"
    ) in PAGE
    made = dict(re.findall(r"create secret generic (\S+) --from-literal=(\w+)=", PAGE))
    release = installed()
    redis = release.env()["EXTAUTHZ_REDIS_URL"]["valueFrom"]["secretKeyRef"]
    cache = next(v for v in release.pod()["spec"]["volumes"] if v["name"] == "cache-secret")["secret"]
    assert made == {redis["name"]: redis["key"], cache["secretName"]: cache["items"][0]["key"]}


def test_both_gateways_point_at_the_service_of_the_chart() -> None:
    service = installed().one("Service")
    name = service["metadata"]["name"]
    port = next(p["port"] for p in service["spec"]["ports"] if p["name"] == "grpc")
    (backend,) = objects("SecurityPolicy")[0]["spec"]["extAuth"]["grpc"]["backendRefs"]
    assert backend == {"name": name, "namespace": NAMESPACE, "port": port}
    istio = mesh_provider()["envoyExtAuthzGrpc"]
    assert (istio["service"], istio["port"]) == (f"{name}.{NAMESPACE}.svc.cluster.local", port)
    grant = objects("ReferenceGrant")[0]
    assert grant["metadata"]["namespace"] == NAMESPACE
    assert grant["spec"]["to"] == [{"group": "", "kind": "Service", "name": name}]


def test_both_gateways_fail_closed_with_503() -> None:
    envoy_gateway = objects("SecurityPolicy")[0]["spec"]["extAuth"]
    assert (envoy_gateway["failOpen"], envoy_gateway["statusOnError"]) == (False, 503)
    istio = mesh_provider()["envoyExtAuthzGrpc"]
    assert (istio.get("failOpen", False), istio["statusOnError"]) == (False, "503")


def test_both_gateways_send_the_body_and_do_not_wait_long() -> None:
    assert objects("SecurityPolicy")[0]["spec"]["extAuth"]["timeout"] == "1s"
    assert mesh_provider()["envoyExtAuthzGrpc"]["timeout"] == "1s"
    limit = objects("SecurityPolicy")[0]["spec"]["extAuth"]["bodyToExtAuth"]["maxRequestBytes"]
    assert mesh_provider()["envoyExtAuthzGrpc"]["includeRequestBodyInCheck"] == {
        "maxRequestBytes": limit,
        "packAsBytes": True,
    }


def test_the_resource_named_by_the_route_is_one_of_the_policy() -> None:
    (extension,) = objects("SecurityPolicy")[0]["spec"]["extAuth"]["contextExtensions"]
    assert (extension["name"], extension["type"]) == ("resource", "Value")
    assert extension["value"] in POLICY["resources"]


def test_metadata_documents_are_what_extauthz_renders(tmp_path: Path) -> None:
    policy = tmp_path / "extauthz.yaml"
    policy.write_text(POLICY_TEXT, encoding="utf-8")
    extauthz = Path(sys.executable).with_name("extauthz")
    rendered = subprocess.run(
        [extauthz, "render", "prm", "--policy", policy], capture_output=True, text=True, check=True
    )
    documents = metadata_documents()
    assert len(documents) == 2
    for document in documents:
        assert document == json.loads(rendered.stdout)
        assert document["resource"] == POLICY["resources"]["weather"]["uri"]
        assert document["authorization_servers"] == [POLICY["issuers"]["casdoor"]["issuer"]]


def test_metadata_stands_at_the_well_known_path_and_is_all_that_is_open() -> None:
    """RFC 9728 §3.1: the well-known suffix goes between host and path."""
    path = "/.well-known/oauth-protected-resource" + urlsplit(POLICY["resources"]["weather"]["uri"]).path
    (rule,) = objects("AuthorizationPolicy")[0]["spec"]["rules"]
    assert rule == {"to": [{"operation": {"notPaths": [path]}}]}
    (route,) = [r for r in objects("HTTPRoute") if r["metadata"]["name"] == "weather-metadata"]
    matches = [match for rule in route["spec"]["rules"] for match in rule["matches"]]
    assert {m["path"]["type"] for m in matches} == {"Exact"}
    assert {m["path"]["value"] for m in matches} == {path}
    (target,) = objects("SecurityPolicy")[0]["spec"]["targetRefs"]
    assert target["name"] == "weather"
