"""The examples of `envoy/`: each a policy, and the arguments with which `extauthz render envoy` makes its bootstrap.

Write them anew after a change of the rendering, and read the difference:

    .venv/bin/python -m tests.support.envoy_examples
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from extauthz.cli import run

FOLDER: Final = Path(__file__).parents[2] / "envoy"

EXAMPLES: Final[Mapping[str, tuple[str, ...]]] = {
    "one-resource": ("--authz", "127.0.0.1:9001"),
    "two-resources": ("--authz", "extauthz:9001"),
    "browser-origins": ("--authz", "127.0.0.1:9001", "--authz", "127.0.0.1:9002"),
    "tracing": (
        "--listen",
        "127.0.0.1:8080",
        "--authz",
        "unix:/run/extauthz/check.sock",
        "--tracing",
        "127.0.0.1:4317",
    ),
}


def render_example(name: str, output: Path) -> int:
    """Render one example to `output`; the exit code of the command."""
    policy = str(FOLDER / name / "policy.yaml")
    return run(["render", "envoy", "--policy", policy, *EXAMPLES[name], "-o", str(output)])


if __name__ == "__main__":
    for example in EXAMPLES:
        assert render_example(example, FOLDER / example / "envoy.yaml") == 0
