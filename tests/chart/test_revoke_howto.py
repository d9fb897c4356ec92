"""docs/howto/revoke.md says what the chart takes."""

import re

import yaml

from tests.chart.rendering import CHART, ROOT, render, values_of

PAGE = (ROOT / "docs" / "howto" / "revoke.md").read_text(encoding="utf-8")
(VALUES_TEXT,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
MINIMAL = values_of(CHART / "ci" / "minimal-values.yaml")


def test_values_of_the_page_install_and_read_the_secrets_that_it_makes() -> None:
    release = render(MINIMAL | yaml.safe_load(VALUES_TEXT))
    made = dict(re.findall(r"create secret generic (\S+) --from-literal=(\w+)=", PAGE))
    mounted = [volume["secret"] for volume in release.pod()["spec"]["volumes"] if "secret" in volume]
    read = {one["secretName"]: one["items"][0]["key"] for one in mounted}
    assert made.items() <= read.items()
    assert read.keys() - made.keys() == {"extauthz-cache"}
    assert len(made) == 3


def test_the_admin_port_is_open_to_those_that_the_page_names_alone() -> None:
    release = render(MINIMAL | yaml.safe_load(VALUES_TEXT))
    (admin,) = [rule for rule in release.one("NetworkPolicy")["spec"]["ingress"] if rule["ports"][0]["port"] == "admin"]
    assert [peer["namespaceSelector"]["matchLabels"] for peer in admin["from"]] == [
        {"kubernetes.io/metadata.name": "casdoor"}
    ]


def test_addresses_of_the_page_are_those_of_the_chart() -> None:
    service = render(MINIMAL | yaml.safe_load(VALUES_TEXT)).one("Service")
    (port,) = [port["port"] for port in service["spec"]["ports"] if port["name"] == "admin"]
    addresses = set(re.findall(r"http://(extauthz[^/`\s]*)", PAGE))
    assert addresses == {f"{service['metadata']['name']}.mcp-authz:{port}"}
