"""The commands of docs/tutorial/first-call.md give what the page says they give."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from extauthz.demo.processes import free_port
from tests.e2e.running_demo import UP, started_demo, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "first-call.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WRITTEN_PORT = "127.0.0.1:8080"
MARK = "@@"
COMMANDS_WITHIN_S = 60


def examples(page: str) -> list[tuple[str, str]]:
    """Each command of the page (with its `> ` continuation lines), and the output written below it."""
    found: list[tuple[str, str]] = []
    for block in BLOCK.findall(page):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], ""))
            elif line.startswith("> "):
                found[-1] = (f"{found[-1][0]}\n{line[2:]}", "")
            else:
                found[-1] = (found[-1][0], found[-1][1] + line + "\n")
    return found


def fits(written: str, seen: str) -> bool:
    """Whether the output is what is written, where `…` stands for anything."""
    pattern = "(?s:.*)".join(re.escape(part) for part in written.strip().split("…"))
    return re.fullmatch(pattern, seen.replace("\r", "").strip()) is not None


@pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("bash")) and not os.environ.get("CI"),
    reason="the page's commands need bash and curl, which are not installed here",
)
def test_every_command_of_the_page_gives_what_the_page_says(tmp_path: Path) -> None:
    folder, port = tmp_path / "tmp", free_port()
    page = PAGE.read_text(encoding="utf-8").replace(WRITTEN_PORT, f"127.0.0.1:{port}")
    commands = examples(page)
    assert len(commands) > 10
    script = "\n".join(f"{command}\nprintf '\\n{MARK}\\n'" for command, _ in commands)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with started_demo(folder, "--port", str(port)) as (process, output):
        wait_for(process, output, UP)
        done = subprocess.run(
            ["bash", "-c", script],
            capture_output=True,
            text=True,
            timeout=COMMANDS_WITHIN_S,
            check=False,
            env=dict(os.environ) | {"TMPDIR": str(folder), "PATH": path},
        )
    seen = done.stdout.split(f"\n{MARK}\n")
    for (command, written), got in zip(commands, seen, strict=False):
        assert fits(written, got), f"$ {command}\nwritten:\n{written}\nseen:\n{got}\nerrors:\n{done.stderr}"
    assert len(seen) == len(commands) + 1
