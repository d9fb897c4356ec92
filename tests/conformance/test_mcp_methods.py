"""The table of methods is what the published schemas of all revisions say (tests/data/mcp/README.md)."""

import json
from pathlib import Path
from typing import Any

import pytest

from extauthz.pdp.mcp import names
from extauthz.pdp.mcp.methods import LEGACY_REVISIONS, METHODS, REVISIONS
from extauthz.pdp.operation import MessageKind, TargetKind

DATA = Path(__file__).parent.parent / "data" / "mcp"
FACTS: dict[str, dict[str, Any]] = {
    revision: json.loads((DATA / f"{revision}.json").read_text()) for revision in REVISIONS
}
TASKS: dict[str, Any] = json.loads((DATA / "extension-tasks.json").read_text())
MIRRORED: dict[str, str] = json.loads((DATA / "mirrored.json").read_text())["Mcp-Name"]
KINDS = {"requests": MessageKind.REQUEST, "notifications": MessageKind.NOTIFICATION}


def test_there_is_a_fact_list_for_every_revision_and_no_other() -> None:
    assert {path.stem for path in DATA.glob("20*.json")} == set(REVISIONS)


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(("union", "kind"), KINDS.items())
def test_the_table_has_exactly_the_methods_of_the_schema(revision: str, union: str, kind: MessageKind) -> None:
    ours = {
        name
        for name, row in METHODS.items()
        if row.kind is kind and revision in row.revisions and revision not in row.extended
    }
    assert ours == set(FACTS[revision][union])


def test_the_table_has_exactly_the_methods_of_the_tasks_extension() -> None:
    revision = TASKS["revision"]
    assert {name for name, row in METHODS.items() if revision in row.extended} == set(TASKS["requests"])
    assert all(row.extended <= {revision} for row in METHODS.values())


def test_every_row_is_of_some_revision() -> None:
    assert all(row.revisions for row in METHODS.values())
    assert all(row.legacy == bool(row.revisions & LEGACY_REVISIONS) for row in METHODS.values())
    assert all(row.modern == bool(row.revisions - LEGACY_REVISIONS) for row in METHODS.values())


@pytest.mark.parametrize("name", METHODS)
def test_the_members_of_params_are_those_of_all_revisions_together(name: str) -> None:
    published: set[str] = {"_meta"}
    for facts in (*FACTS.values(), TASKS):
        for union in KINDS:
            published |= set(facts.get(union, {}).get(name, {}).get("params", ()))
    assert METHODS[name].params == published


@pytest.mark.parametrize("name", METHODS)
def test_the_target_is_a_required_member_wherever_the_method_exists(name: str) -> None:
    row = METHODS[name]
    if not row.target_field:
        return
    for facts in (*FACTS.values(), TASKS):
        for union in KINDS:
            if (method := facts.get(union, {}).get(name)) is not None:
                assert row.target_field in method["required"]


def test_every_required_name_uri_or_task_id_of_the_schemas_is_a_target() -> None:
    for facts in (*FACTS.values(), TASKS):
        for union in KINDS:
            for name, method in facts.get(union, {}).items():
                naming = {"name", "uri", "taskId", "ref", "notifications"} & set(method["required"])
                assert naming == ({METHODS[name].target_field} - {""}), name


def test_mirrored_names_are_those_of_the_transport_page_and_of_the_extension() -> None:
    published = MIRRORED | {name: method["mirrored"] for name, method in TASKS["requests"].items()}
    assert {name: row.target_field for name, row in METHODS.items() if row.mirrored} == published


@pytest.mark.parametrize(
    ("place", "reserved"),
    [
        ("_meta", names.META_MEMBERS),
        ("completion/complete ref", names.REFERENCE_MEMBERS),
        ("completion/complete argument", names.ARGUMENT_MEMBERS),
        ("completion/complete context", names.CONTEXT_MEMBERS),
        ("subscriptions/listen notifications", names.FILTER_MEMBERS),
        ("tools/call task", names.TASK_MEMBERS),
    ],
)
def test_the_names_read_inside_params_are_those_of_the_schemas(place: str, reserved: names.ReservedNames) -> None:
    published: set[str] = set()
    for facts in (*FACTS.values(), TASKS):
        published |= set(facts["nested"].get(place, ()))
    # A description of the 2025-11-25 schema, not a definition in it, reserves this one.
    documented = {"io.modelcontextprotocol/related-task"} if place == "_meta" else set()
    assert reserved.exact == published | documented


def test_the_baseline_is_what_opens_keeps_and_ends_a_connection_and_lists_what_there_is() -> None:
    """`subscriptions/listen` is among them for filters without names: see `read_operation`."""
    assert {name for name, row in METHODS.items() if row.baseline} == {
        "initialize",
        "server/discover",
        "ping",
        "logging/setLevel",
        "tools/list",
        "resources/list",
        "resources/templates/list",
        "prompts/list",
        "subscriptions/listen",
        *(name for name in METHODS if name.startswith("notifications/")),
    }


def test_no_two_names_read_in_one_place_look_alike() -> None:
    for reserved in (names.MESSAGE_MEMBERS, names.META_MEMBERS, *names.PARAMS_MEMBERS.values()):
        assert len(reserved.folded) == len(reserved.exact)
        assert "" not in reserved.folded


def test_tools_prompts_resources_and_tasks_are_told_apart() -> None:
    assert {(row.target_field, row.target_kind) for row in METHODS.values()} == {
        ("", None),
        ("name", TargetKind.TOOL),
        ("name", TargetKind.PROMPT),
        ("uri", TargetKind.RESOURCE),
        ("taskId", TargetKind.TASK),
        ("ref", None),
        ("notifications", None),
    }
