"""Look-alikes: member names that are not a reserved name, but that some server takes for one.

Seen in the field: case and Unicode folding (Go's `encoding/json`, CVE-2026-27896: `Name`, U+017F for `s`, U+212A for
`k`), a trailing NUL (GO-2026-4770), snake case beside camel case (models that are filled by field name as well as by
alias: `resource_subscriptions`), and decoders that drop bytes. Wherever servers read reserved names, such a name is
refused: which of the two a server would read cannot be known.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from re import compile as compile_pattern
from typing import Final
from unicodedata import normalize

from extauthz.pdp.mcp.methods import METHODS
from extauthz.pdp.strict_json import JsonValue

# Members of one object in which servers read reserved names. MCP defines at most eight in any; `_meta` is open, and
# each unknown name costs a fold of about 1 us.
MAX_MEMBERS: Final = 128
# Characters of a member name there. The longest reserved one has 43; longer ones are only ever padding.
MAX_NAME_LENGTH: Final = 256
_SHOWN_NAME_LENGTH: Final = 64
_DROPPED: Final = compile_pattern("[^0-9a-z]+")


def fold(name: str) -> str:
    """What is left of a name when everything is taken away that some reader ignores.

    Compatibility decomposition, case (both ways, which also maps U+0131), then only ASCII letters and digits stay:
    controls, format characters, combining marks, spaces, `_`, `-` and all other signs go.
    """
    return _DROPPED.sub("", normalize("NFKD", name).upper().casefold())


@dataclass(frozen=True, slots=True)
class ReservedNames:
    """The names that servers read in one place of a message."""

    exact: frozenset[str]
    folded: frozenset[str]

    @classmethod
    def of(cls, names: Iterable[str]) -> "ReservedNames":
        """The set with its folded forms."""
        exact = frozenset(names)
        return cls(exact, frozenset(map(fold, exact)))

    def ambiguity(self, members: Mapping[str, JsonValue]) -> str:
        """What some server would read differently among these members, as a sentence; empty when nothing."""
        if members.keys() <= self.exact:
            return ""
        if len(members) > MAX_MEMBERS:
            return f"more than {MAX_MEMBERS} members where MCP defines a few: send less"
        for name in members:
            if name in self.exact:
                continue
            if len(name) > MAX_NAME_LENGTH:
                return f"a member name of more than {MAX_NAME_LENGTH} characters where MCP defines names: shorten it"
            if fold(name) in self.folded:
                shown = name[:_SHOWN_NAME_LENGTH]
                return f"member {shown!a} can be taken for an MCP member of another spelling: send the exact name"
        return ""


METHOD_NAMES: Final = ReservedNames.of(METHODS)
MESSAGE_MEMBERS: Final = ReservedNames.of(("jsonrpc", "id", "method", "params", "result", "error"))
PARAMS_MEMBERS: Final = {name: ReservedNames.of(method.params) for name, method in METHODS.items()}
# An unknown method: what all known ones read a name from.
OTHER_PARAMS_MEMBERS: Final = ReservedNames.of(("_meta", "name", "uri", "taskId", "arguments"))
VERSION_MEMBER: Final = "io.modelcontextprotocol/protocolVersion"
META_MEMBERS: Final = ReservedNames.of(
    (
        "progressToken",
        VERSION_MEMBER,
        "io.modelcontextprotocol/clientInfo",
        "io.modelcontextprotocol/clientCapabilities",
        "io.modelcontextprotocol/logLevel",
        "io.modelcontextprotocol/related-task",
    )
)
REFERENCE_MEMBERS: Final = ReservedNames.of(("type", "name", "uri", "title"))
ARGUMENT_MEMBERS: Final = ReservedNames.of(("name", "value"))
CONTEXT_MEMBERS: Final = ReservedNames.of(("arguments",))
TASK_MEMBERS: Final = ReservedNames.of(("ttl",))
FILTER_MEMBERS: Final = ReservedNames.of(
    ("toolsListChanged", "promptsListChanged", "resourcesListChanged", "resourceSubscriptions", "taskIds")
)
