"""Every variant in `ci/` renders, satisfies Kubernetes' schemas, and is what was reviewed."""

import subprocess
import sys
from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped]  # the package has no annotations file
import pytest
import yaml

from extauthz import __version__
from tests.chart.rendering import (
    CHART,
    CI_VALUES,
    KUBERNETES_OLDEST,
    RefusedError,
    golden_of,
    kubernetes_versions,
    lint,
    render,
    validate,
    values_of,
)

variants = pytest.mark.parametrize("values_file", CI_VALUES, ids=lambda file: file.stem)


def test_there_is_a_variant_for_each_shape_that_is_supported() -> None:
    assert [file.stem for file in CI_VALUES] == ["full-values", "minimal-values", "redis-values"]


@variants
@pytest.mark.parametrize("version", kubernetes_versions())
def test_manifests_satisfy_the_oldest_and_the_newest_kubernetes(values_file: Path, version: str) -> None:
    for document in render(values_of(values_file)).documents:
        if document["apiVersion"] == "monitoring.coreos.com/v1":
            continue  # a custom resource, which Kubernetes has no schema for
        validate(document, version)


def test_the_check_against_kubernetes_sees_a_misspelt_field() -> None:
    document = render(values_of(CI_VALUES[0])).one("Deployment")
    document["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(document, KUBERNETES_OLDEST)


@variants
def test_manifests_are_the_reviewed_ones(values_file: Path) -> None:
    """On an intended change: python -m tests.chart.update_golden, and read the diff."""
    assert render(values_of(values_file)).text == golden_of(values_file).read_text(encoding="utf-8")


@variants
def test_helm_lint_is_silent(values_file: Path) -> None:
    assert lint(values_of(values_file)) == ()


@variants
def test_objects_are_named_once_per_kind(values_file: Path) -> None:
    names = [(document["kind"], document["metadata"]["name"]) for document in render(values_of(values_file)).documents]
    assert len(set(names)) == len(names)


@variants
def test_policies_of_the_variants_pass_extauthz_check(values_file: Path, tmp_path: Path) -> None:
    extauthz = Path(sys.executable).with_name("extauthz")
    secret = tmp_path / "client-secret"
    secret.write_text("a-client-secret\n", encoding="utf-8")
    for name, text in render(values_of(values_file)).all("ConfigMap")[0]["data"].items():
        file = tmp_path / name
        file.write_text(text.replace("/run/secrets/casdoor/client-secret", str(secret)), encoding="utf-8")
        found = subprocess.run([extauthz, "check", file], capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stdout + found.stderr


def test_two_releases_share_a_namespace() -> None:
    values = values_of(CHART / "ci" / "minimal-values.yaml")
    one, other = render(values, name="extauthz"), render(values, name="staging")
    assert {d["metadata"]["name"] for d in one.documents} == {"extauthz"}
    assert {d["metadata"]["name"] for d in other.documents} == {"staging-extauthz"}
    assert one.one("Service")["spec"]["selector"] != other.one("Service")["spec"]["selector"]


def test_a_long_release_name_gives_a_name_that_kubernetes_takes() -> None:
    release = render(values_of(CHART / "ci" / "minimal-values.yaml"), name="r" * 53)
    assert all(len(document["metadata"]["name"]) <= 63 for document in release.documents)


def test_app_version_is_the_version_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == __version__
    assert chart["kubeVersion"] == f">={KUBERNETES_OLDEST}.0-0"


def test_image_by_digest_wins_over_the_tag() -> None:
    values = values_of(CHART / "ci" / "minimal-values.yaml")
    digest = "sha256:" + "ab" * 32
    assert render(values).container()["image"] == f"extauthz:{__version__}"
    assert render(values | {"image": {"tag": "2"}}).container()["image"] == "extauthz:2"
    assert render(values | {"image": {"tag": "2", "digest": digest}}).container()["image"] == f"extauthz@{digest}"


def test_extra_objects_may_use_templates_as_object_and_as_text() -> None:
    extra = [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "{{ .Release.Name }}-a"}},
        'apiVersion: v1\nkind: Service\nmetadata:\n  name: {{ include "extauthz.fullname" . }}-b\n',
    ]
    release = render(values_of(CHART / "ci" / "minimal-values.yaml") | {"extraObjects": extra})
    assert [s["metadata"]["name"] for s in release.all("Service")] == ["extauthz-a", "extauthz-b", "extauthz"]


def test_a_template_fault_is_reported_and_not_rendered_around() -> None:
    with pytest.raises(RefusedError, match="no_such_template"):
        render(
            values_of(CHART / "ci" / "minimal-values.yaml") | {"extraObjects": ['{{ include "no_such_template" . }}']}
        )
