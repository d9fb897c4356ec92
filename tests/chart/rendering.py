"""The chart rendered offline: the only place that knows the Helm library.

`helm-python-sdk` is Helm 4 as a shared library; the `helm` program itself is not needed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import helm_python
import kubernetes_validate  # type: ignore[import-untyped]  # the package has no annotations file
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "extauthz"
CI_VALUES = tuple(sorted((CHART / "ci").glob("*-values.yaml")))
GOLDEN = Path(__file__).with_name("golden")

KUBERNETES_OLDEST = "1.30"
"""The `kubeVersion` of Chart.yaml."""

Document: TypeAlias = dict[str, Any]


class RefusedError(Exception):
    """Helm did not render: the values break the schema, or a template failed with a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What `helm template` gives."""

    documents: tuple[Document, ...]
    notes: str
    text: str
    """Every manifest, in order of its template's name."""

    def one(self, kind: str) -> Document:
        """The only document of a kind."""
        (document,) = self.all(kind)
        return document

    def all(self, kind: str) -> tuple[Document, ...]:
        """Every document of a kind."""
        return tuple(document for document in self.documents if document["kind"] == kind)

    def pod(self) -> Document:
        """The pod template of the Deployment: `metadata` and `spec`."""
        template: Document = self.one("Deployment")["spec"]["template"]
        return template

    def container(self) -> Document:
        """The only container of the pod."""
        (container,) = self.pod()["spec"]["containers"]
        return dict(container)

    def env(self) -> dict[str, Document]:
        """The container's environment by name."""
        entries = self.container()["env"]
        by_name = {entry["name"]: entry for entry in entries}
        assert len(by_name) == len(entries), "a variable is set twice"
        return by_name


def values_of(file: Path) -> Document:
    """A values file as Helm reads it."""
    return helm_python.values_from_yaml(file.read_text(encoding="utf-8"))


def render(
    values: Document, *, name: str = "extauthz", namespace: str = "mcp", chart: Path = CHART, notes_of: str = "extauthz"
) -> Release:
    """`helm template NAME CHART --namespace NAMESPACE --values VALUES`.

    Raises:
        RefusedError: the values do not fit the schema, or a template failed.
    """
    try:
        with helm_python.Chart.load(chart) as loaded:
            rendered = loaded.render(values, name=name, namespace=namespace)
    except (helm_python.HelmValuesError, helm_python.HelmRenderError) as error:
        raise RefusedError(str(error)) from error
    notes = rendered.pop(f"{notes_of}/templates/NOTES.txt", "")
    text = "".join(
        f"# Source: {path}\n{body.strip()}\n---\n" for path, body in sorted(rendered.items()) if body.strip()
    ).removesuffix("---\n")
    documents = tuple(document for document in yaml.safe_load_all(text) if document)
    return Release(documents=documents, notes=notes, text=text)


def lint(values: Document) -> tuple[str, ...]:
    """What `helm lint --strict` finds wrong: warnings and errors."""
    report = helm_python.lint(CHART, values, strict=True)
    warning = 2
    return (*report["errors"], *(m["error"] for m in report["messages"] if m["severity"] >= warning))


def kubernetes_versions() -> tuple[str, ...]:
    """The oldest version that the chart supports and the newest whose schemas are installed."""
    return KUBERNETES_OLDEST, kubernetes_validate.latest_version()


def validate(document: Document, version: str) -> None:
    """Check one manifest against Kubernetes' own schema, unknown fields included.

    Raises:
        kubernetes_validate.ValidationError: a field is unknown, missing or of another type.
        kubernetes_validate.SchemaNotFoundError: Kubernetes itself has no such kind.
    """
    kubernetes_validate.validate(document, version, strict=True)


def golden_of(values_file: Path) -> Path:
    """Where the expected manifests of one values file stand."""
    return GOLDEN / f"{values_file.name.removesuffix('-values.yaml')}.yaml"
