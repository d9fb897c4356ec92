"""Plain data as YAML for people: in the order in which it was built, with a reason above what is easily got wrong."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

# By the start of a line. The first line that starts so gets the note.
NOTES: Final[Mapping[str, str]] = {
    "allow_paths:": "Reading only: nobody ends or reconfigures this Envoy over its admin port.",
    "max_active_downstream_connections:": "More are refused, before memory and file descriptors run out.",
    "common_http_protocol_options: {idle_timeout: 3600s": "To CGI-like servers x_auth_subject is x-auth-subject.",
    "stream_idle_timeout:": "A quiet event stream lives this long.",
    "request_timeout:": "The whole request, body included, is in by then; answers may stream on.",
    "use_remote_address:": "x-forwarded-* and x-envoy-* are Envoy's own word, not the client's.",
    "early_header_mutation_extensions:": "Before any filter: nobody but the service says who a caller is.",
    "normalize_path:": "Routes, service and upstream see one and the same path.",
    "log_format:": "Without the query: that is where a client may wrongly have put its token.",
    "custom_tags:": "http.url without the query, and the decision that the span belongs to.",
    "name: envoy.filters.http.cors": "First, so that refusals carry CORS headers as well.",
    "name: envoy.filters.http.body_size_limit": "Over HTTP/2 ext_authz alone lets more pass than the service has seen.",
    "retry_back_off:": "Envoy takes max_interval for the timeout of one attempt as well.",
    "with_request_body:": "The service judges every byte that the upstream will read, or nothing passes.",
    "status_on_error:": "No answer is no decision: an MCP client would take 403 for one.",
    "decoder_header_mutation_rules:": "The service sets and removes these request headers and no others.",
    "failure_mode_allow:": "No answer, no passage.",
    "name: ambiguous-path": "What another program may read as another path. The service is asked; nothing is routed.",
    "typed_per_filter_config:": "Metadata is for everybody: the only routes on which the service is not asked.",
    "context_extensions:": "Only this file says which resource a route is; no client can.",
    "timeout: 0s": "Envoy's default of 15 s would cut event streams.",
    "max_stream_duration:": "The check runs once: so long may a stream outlive its token.",
    "common_lb_config:": "A busy service is late with health checks first; that must not refuse everybody.",
    "health_checks:": "Tells Envoy of an endpoint that is about to stop.",
    "common_http_protocol_options: {idle_timeout: 4s": "Uvicorn and Node close idle connections after 5 s.",
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

    def represent_mapping(
        self,
        tag: str,
        mapping: Any,
        flow_style: bool | None = None,  # noqa: FBT001 - PyYAML's signature
    ) -> yaml.MappingNode:
        """Short mappings of scalars on one line."""
        node = super().represent_mapping(tag, mapping, flow_style)
        node.flow_style = _fits_one_line([part for pair in node.value for part in pair])
        return node

    def represent_sequence(
        self,
        tag: str,
        sequence: Any,
        flow_style: bool | None = None,  # noqa: FBT001 - PyYAML's signature
    ) -> yaml.SequenceNode:
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
