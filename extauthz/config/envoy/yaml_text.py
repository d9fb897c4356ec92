"""Plain data as YAML for people: in the order in which it was built, with a reason above what is easily got wrong."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

# By the start of a line. The first line that starts so gets the note.
NOTES: Final[Mapping[str, str]] = {
    "allow_paths:": "Reading only: nobody ends or reconfigures this Envoy over its admin port.",
}

_YAML_CPP_BOOLEANS: Final = frozenset({"y", "n"})
_ONE_LINE: Final = 72
"""Characters of scalars in a collection that is written on one line."""
_WIDTH: Final = 100_000
"""Nothing is folded: metadata documents stay on one line, as they are served."""


class _Dumper(yaml.SafeDumper):
    """Sequences indented under their key, no aliases, and quotes where Envoy's reader needs them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML's
        super().increase_indent(flow, indentless=False)

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:  # noqa: FBT001
        """Short mappings of scalars on one line."""
        node = super().represent_mapping(tag, mapping, flow_style)
        node.flow_style = _fits_one_line([part for pair in node.value for part in pair])
        return node

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:  # noqa: FBT001
        """Short sequences of scalars on one line."""
        node = super().represent_sequence(tag, sequence, flow_style)
        node.flow_style = _fits_one_line(node.value)
        return node

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _fits_one_line(parts: Sequence[yaml.Node]) -> bool:
    """Whether all parts are scalars and short together."""
    return (
        all(isinstance(part, yaml.ScalarNode) for part in parts) and sum(len(part.value) for part in parts) <= _ONE_LINE
    )


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    quoted = _reads_as_number(text) or text.lower() in _YAML_CPP_BOOLEANS
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if quoted else None)


def _reads_as_number(text: str) -> bool:
    """Whether a YAML 1.2 reader takes the bare text for a number where PyYAML (YAML 1.1) does not."""
    try:
        float(text)
    except ValueError:
        return text.lower().startswith(("0x", "0o", ".inf", "-.inf", "+.inf", ".nan"))
    return True


_Dumper.add_representer(str, _represent_text)


def to_yaml(tree: Mapping[str, Any], *, head: str) -> str:
    """The document, below `head` as a comment."""
    body = yaml.dump(tree, Dumper=_Dumper, sort_keys=False, width=_WIDTH, allow_unicode=False)
    waiting = dict(NOTES)
    lines = [f"# {line}" for line in head.splitlines()]
    for line in body.splitlines():
        content = line.lstrip(" ")
        noted = next((start for start in waiting if content.removeprefix("- ").startswith(start)), None)
        if noted is not None:
            lines.append(f"{line[: -len(content)]}# {waiting.pop(noted)}")
        lines.append(line)
    return "\n".join(lines) + "\n"
