"""Ports, probes, draining, scaling, telemetry."""

from typing import Any

import pytest

from tests.chart.rendering import CHART, render, values_of

MINIMAL = values_of(CHART / "ci" / "minimal-values.yaml")


def test_ports_are_those_of_the_contract() -> None:
    release = render(MINIMAL)
    assert release.env()["EXTAUTHZ_LISTEN"]["value"] == "0.0.0.0:9001"
    assert release.env()["EXTAUTHZ_ADMIN_LISTEN"]["value"] == "0.0.0.0:9002"
    assert {p["name"]: p["containerPort"] for p in release.container()["ports"]} == {"grpc": 9001, "admin": 9002}
    assert release.container()["args"] == ["serve"]


def test_service_speaks_http2_without_tls_on_the_grpc_port() -> None:
    service = render(MINIMAL).one("Service")["spec"]
    assert service["type"] == "ClusterIP"
    assert service["ports"] == [
        {"name": "grpc", "port": 9001, "targetPort": "grpc", "protocol": "TCP", "appProtocol": "kubernetes.io/h2c"},
        {"name": "admin", "port": 9002, "targetPort": "admin", "protocol": "TCP", "appProtocol": "http"},
    ]
    assert "clusterIP" not in service


def test_service_selects_the_pods_and_nothing_else_of_the_release() -> None:
    release = render(MINIMAL)
    selector = release.one("Service")["spec"]["selector"]
    assert selector == release.one("Deployment")["spec"]["selector"]["matchLabels"]
    assert selector == {"app.kubernetes.io/name": "extauthz", "app.kubernetes.io/instance": "extauthz"}
    assert selector.items() <= release.pod()["metadata"]["labels"].items()


def test_headless_service_gives_one_record_per_pod() -> None:
    assert render(MINIMAL | {"service": {"headless": True}}).one("Service")["spec"]["clusterIP"] == "None"


def test_probes_ask_the_admin_port() -> None:
    container = render(MINIMAL).container()
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "admin"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "admin"}


def test_a_leaving_pod_keeps_answering_and_then_has_time_to_drain() -> None:
    """`sleep` is the kubelet's own: the image needs no shell for it."""
    release = render(MINIMAL)
    delay_s = release.container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert delay_s == 5
    assert release.pod()["spec"]["terminationGracePeriodSeconds"] - delay_s >= 30


def test_an_update_never_takes_a_pod_before_its_successor_is_ready() -> None:
    assert render(MINIMAL).one("Deployment")["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }


def test_there_are_two_pods_on_different_nodes_where_possible() -> None:
    release = render(MINIMAL)
    assert release.one("Deployment")["spec"]["replicas"] == 2
    (spread,) = release.pod()["spec"]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
    assert spread["labelSelector"]["matchLabels"] == release.one("Service")["spec"]["selector"]


def test_memory_is_limited_and_cpu_is_not() -> None:
    resources = render(MINIMAL).container()["resources"]
    assert set(resources["limits"]) == {"memory"}
    assert set(resources["requests"]) == {"cpu", "memory"}


def test_nodes_can_be_emptied_one_pod_at_a_time() -> None:
    budget = render(MINIMAL).one("PodDisruptionBudget")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert render(MINIMAL | {"podDisruptionBudget": {"enabled": False}}).all("PodDisruptionBudget") == ()


def test_the_autoscaler_and_the_deployment_do_not_both_set_the_size() -> None:
    release = render(MINIMAL | {"autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 9}})
    assert "replicas" not in release.one("Deployment")["spec"]
    spec = release.one("HorizontalPodAutoscaler")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 9)
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "extauthz"}


def test_prometheus_finds_the_admin_port() -> None:
    prometheus = {"adminFrom": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}]}
    monitored = {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}, "networkPolicy": prometheus}
    release = render(MINIMAL | monitored)
    monitor = release.one("ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint == {"port": "admin", "path": "/metrics", "interval": "30s"}
    assert endpoint["port"] in {port["name"] for port in release.one("Service")["spec"]["ports"]}
    assert monitor["spec"]["selector"]["matchLabels"].items() <= release.one("Service")["metadata"]["labels"].items()
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_by_default_nothing_optional_is_made() -> None:
    kinds = sorted(document["kind"] for document in render(MINIMAL).documents)
    assert kinds == ["ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://collector:4317", "http://collector:4317"),
        (0.25, "0.25"),
        (1_048_576, "1048576"),
        (True, "true"),
        ('a=b,c="d"', 'a=b,c="d"'),
    ],
)
def test_opentelemetry_variables_arrive_as_text(given: Any, expected: str) -> None:
    assert render(MINIMAL | {"otel": {"OTEL_X": given}}).env()["OTEL_X"]["value"] == expected


def test_without_telemetry_settings_nothing_of_it_is_set() -> None:
    assert not [name for name in render(MINIMAL).env() if name.startswith("OTEL_")]


def test_a_cluster_without_ipv4_can_listen_on_ipv6() -> None:
    env = render(MINIMAL | {"extraEnv": [{"name": "EXTAUTHZ_LISTEN", "value": "[::]:9001"}]}).env()
    assert env["EXTAUTHZ_LISTEN"]["value"] == "[::]:9001"
    assert env["EXTAUTHZ_ADMIN_LISTEN"]["value"] == "0.0.0.0:9002"


def test_notes_name_the_address_and_what_is_open() -> None:
    notes = render(MINIMAL, name="authz", namespace="gateways").notes
    assert "authz-extauthz.gateways.svc.cluster.local:9001" in notes
    assert "Without Redis" in notes
    assert "Name your Envoys in networkPolicy.grpcFrom" in notes
    assert "Set networkPolicy.enabled" in render(MINIMAL | {"networkPolicy": {"enabled": False}}).notes
    full = render(values_of(CHART / "ci" / "full-values.yaml")).notes
    assert "Without Redis" not in full
    assert "networkPolicy" not in full
