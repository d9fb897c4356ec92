import pytest

from extauthz.adapters.telemetry.labels import OTHER, LabelBounds
from tests.support.policies import policy, resource, rule

MCP = frozenset({"initialize", "tools/call", "tools/list"})


@pytest.fixture
def bounds() -> LabelBounds:
    weather = resource([rule(["tools/call"], tools=["get_forecast", "get_*", "*"]), rule(["acme/report", "acme/*"])])
    notes = resource([rule(["tools/call"], tools=["purge"]), rule(["prompts/get"], prompts=["summary"])], name="notes")
    return LabelBounds.of(policy(weather, notes), MCP)


class TestMethods:
    @pytest.mark.parametrize("name", ["tools/call", "initialize", "acme/report", "GET", "DELETE", "response", ""])
    def test_methods_of_mcp_of_the_policy_and_of_the_transport_count(self, bounds: LabelBounds, name: str) -> None:
        assert bounds.method(name) == name

    @pytest.mark.parametrize("name", ["TOOLS/CALL", "tools/call ", "acme/other", "acme/*", "x" * 10_000, "\n", "POST"])
    def test_any_other_method_is_other(self, bounds: LabelBounds, name: str) -> None:
        assert bounds.method(name) == OTHER


class TestTools:
    def test_a_tool_that_a_rule_of_the_resource_names_counts(self, bounds: LabelBounds) -> None:
        assert bounds.tool("weather", "get_forecast") == "get_forecast"
        assert bounds.tool("notes", "purge") == "purge"

    @pytest.mark.parametrize("name", ["get_1", "get_forecas", "GET_FORECAST", "purge", "*", "get_*", "summary"])
    def test_a_tool_that_only_fits_a_pattern_or_is_named_elsewhere_is_other(
        self, bounds: LabelBounds, name: str
    ) -> None:
        assert bounds.tool("weather", name) == OTHER

    def test_a_tool_of_a_resource_that_is_gone_is_other(self, bounds: LabelBounds) -> None:
        assert bounds.tool("gone", "get_forecast") == OTHER
        assert bounds.resource("gone") == OTHER

    def test_no_tool_is_no_tool(self, bounds: LabelBounds) -> None:
        assert bounds.tool("weather", "") == ""


def test_the_number_of_label_values_does_not_depend_on_callers(bounds: LabelBounds) -> None:
    names = [f"get_{number}" for number in range(1_000)] + ["get_forecast", "purge", ""]
    assert {bounds.tool("weather", name) for name in names} == {"get_forecast", OTHER, ""}
    assert {bounds.method(name) for name in names} == {OTHER, ""}
