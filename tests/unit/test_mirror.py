"""Each file of unit tests sits where the module sits that it names, so that either is found from the other.

`tests/unit/pdp/mcp/test_mcp_names.py` tests `extauthz/pdp/mcp/names.py`: the name of the module, or that of its package
before it, where the bare one would not tell. What tests several modules together is listed with its reason.
"""

from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
UNIT: Final = ROOT / "tests/unit"
PACKAGE: Final = ROOT / "extauthz"

EXCEPTIONS: Final = {
    "whole checks, from bytes to bytes": (
        "service/check/test_cost_before_credentials.py",
        "service/check/test_cost_of_refusal.py",
        "service/check/test_decision_cache.py",
        "service/check/test_revoked_checks.py",
        "service/check/test_set_clocks.py",
        "service/check/test_streams_and_sessions.py",
        "service/sessions/test_session_eras.py",
    ),
    "conditions beside those who would understand them otherwise": (
        "adapters/cel/test_against_googles.py",
        "adapters/cel/test_cost.py",
        "adapters/cel/test_same_to_a_server.py",
    ),
    "whole policy files": (
        "config/policy_file/test_policy_faults.py",
        "test_example_policies.py",
    ),
    "whole configurations of Envoy": (
        "config/render/envoy/test_envoy_examples.py",
        "config/render/envoy/test_rendering.py",
    ),
    "the package's own `__init__`, or its page in the docs": (
        "adapters/telemetry/test_telemetry_reference.py",
        "cli/test_command_line.py",
    ),
    "clients that the whole server is up against": (
        "adapters/admin/test_admin_raw.py",
        "adapters/grpc/test_header_floods.py",
        "adapters/grpc/test_hostile_clients.py",
        "adapters/grpc/test_two_ways_in.py",
    ),
    "the project": (
        "test_threat_model.py",
        "test_bounded_caches.py",
        "test_groups.py",
        "test_mirror.py",
    ),
}
FILES: Final = sorted(str(file.relative_to(UNIT)) for file in UNIT.rglob("test_*.py"))


def modules_of(package: Path) -> set[str]:
    """The names of modules and packages in a folder of the package."""
    return {entry.stem for entry in package.glob("*.py")} | {
        entry.name for entry in package.iterdir() if entry.is_dir()
    }


def is_mirrored(file: str) -> bool:
    path = Path(file)
    package = PACKAGE / path.parent
    name = path.stem.removeprefix("test_")
    names = {name, name.removeprefix(f"{path.parent.name}_")}
    return package.is_dir() and not names.isdisjoint(modules_of(package))


@pytest.mark.parametrize("file", FILES)
def test_a_file_of_tests_sits_where_its_module_does(file: str) -> None:
    listed = [reason for reason, files in EXCEPTIONS.items() if file in files]
    assert is_mirrored(file) != bool(listed), listed or f"no module of extauthz/{Path(file).parent} has this name"


def test_every_exception_exists_and_is_listed_once() -> None:
    listed = [file for files in EXCEPTIONS.values() for file in files]
    assert len(set(listed)) == len(listed)
    assert set(listed) <= set(FILES)


@pytest.mark.parametrize(
    ("file", "mirrored"),
    [
        ("pdp/mcp/test_mcp_names.py", True),
        ("pdp/mcp/test_names.py", True),
        ("pdp/mcp/test_pdp_names.py", False),
        ("pdp/test_names.py", False),
        ("pdp/token/test_mcp_names.py", False),
        ("nowhere/test_names.py", False),
    ],
)
def test_where_a_module_does_not_sit_its_tests_do_not_either(file: str, mirrored: bool) -> None:
    assert is_mirrored(file) is mirrored
