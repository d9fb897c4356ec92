"""Regenerate `extauthz/wire` from `proto/`; with `--check`, only say whether that would change anything.

grpcio-tools is pinned to 1.74.0 on purpose: its generated code (6.31.1) runs on every protobuf from 6.31 on, while
newer generators refuse older runtimes. It lives in an environment of its own (`.make/generate`), since its own
protobuf pin would hold back the one that we run with.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".make" / "generate"
PIN = "grpcio-tools==1.74.0"
OUT = ROOT / "extauthz" / "wire"
NAMES = ("check_pb2.py", "check_pb2.pyi")


def generator() -> Path:
    """Python of an environment that has the pinned generator."""
    python = TOOLS / "bin" / "python"
    if not (TOOLS / ".installed").exists():
        venv.create(TOOLS, with_pip=True, clear=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PIN, "setuptools<81"], check=True
        )
        (TOOLS / ".installed").touch()
    return python


def generate(into: Path) -> None:
    """Run protoc and put the two files into `into`."""
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(
            [
                generator(),
                "-m",
                "grpc_tools.protoc",
                f"--proto_path={ROOT / 'proto'}",
                f"--python_out={scratch}",
                f"--pyi_out={scratch}",
                "extauthz/check.proto",
            ],
            check=True,
        )
        for name in NAMES:
            (into / name).write_text((Path(scratch) / "extauthz" / name).read_text())


def main() -> int:
    """Regenerate, or check."""
    if "--check" not in sys.argv[1:]:
        generate(OUT)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        stale = [name for name in NAMES if (Path(scratch) / name).read_bytes() != (OUT / name).read_bytes()]
    if stale:
        print(f"extauthz/wire is not what proto/ generates ({', '.join(stale)}): run `make generate`")
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
