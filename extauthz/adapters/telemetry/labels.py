"""Which names may become values of metric labels.

Callers choose method and tool names, and every value of a label is a time series that is kept for ever. A name counts
when the policy file writes it out, or MCP itself defines it; everything else is `_other`. A name that only fits a
pattern (`get_*`) is the caller's choice and is `_other` too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from extauthz.pdp.operation import END_METHOD, RESPONSE_METHOD, STREAM_METHOD, TargetKind
from extauthz.pdp.policy import Policy

OTHER: Final = "_other"

_NO_NAMES: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelBounds:
    """The names that count under one policy. An empty name stays empty: there was none."""

    methods: frozenset[str]
    tools: Mapping[str, frozenset[str]]
    """By resource; its keys are the resources that count."""

    @classmethod
    def of(cls, policy: Policy, known_methods: frozenset[str]) -> "LabelBounds":
        """Take the names from a policy; `known_methods` are MCP's own."""
        rules = [rule for resource in policy.resources.values() for rule in resource.rules]
        written = frozenset(name for rule in rules for name in rule.methods.exact)
        return cls(
            methods=known_methods | written | {STREAM_METHOD, END_METHOD, RESPONSE_METHOD},
            tools={
                name: frozenset(
                    tool
                    for rule in resource.rules
                    if TargetKind.TOOL in rule.targets
                    for tool in rule.targets[TargetKind.TOOL].exact
                )
                for name, resource in policy.resources.items()
            },
        )

    def resource(self, name: str) -> str:
        """A resource's name as a label."""
        return name if not name or name in self.tools else OTHER

    def method(self, name: str) -> str:
        """A method's name as a label."""
        return name if not name or name in self.methods else OTHER

    def tool(self, resource: str, name: str) -> str:
        """The name of a resource's tool as a label."""
        return name if not name or name in self.tools.get(resource, _NO_NAMES) else OTHER
