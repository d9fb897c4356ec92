"""Builds the image for real, from a Debian made on the spot: no registry of images is needed.

By hand, with a base to build on again:  python -m tests.install.image_build FOLDER
Needs root and the programs of `TOOLS`.
"""

import ast
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from extauthz import __version__

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("buildah", "debootstrap")
BASE = "localhost/extauthz-base"
IMAGE = "localhost/extauthz"
BUILD_TIMEOUT_S = 600
"""A base takes 40 s and an image 25 s on two cores; a slow mirror takes the rest."""
RUN_TIMEOUT_S = 60
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian images keep it."""
BASE_CA_BUNDLE = "base-ca.crt"
"""A copy of the one in the base, in the folder of `Buildah`."""


def cannot_build() -> str:
    """What this machine lacks for building an image; empty if nothing."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"{' and '.join(missing)} not found: apt-get install {' '.join(TOOLS)}"
    return "" if os.geteuid() == 0 else "debootstrap and buildah --isolation chroot need root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildah:
    """Buildah with a storage of its own, so that nothing of the machine's is touched."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        storage = ["--root", str(self.folder / "store"), "--runroot", str(self.folder / "run")]
        return ["buildah", "--storage-driver", "vfs", *storage, *arguments]

    def __call__(self, *arguments: str, timeout_s: int = RUN_TIMEOUT_S) -> str:
        """Run to the end and return what it printed.

        Raises:
            RuntimeError: it failed; the message holds all that it printed.
        """
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, check=False, timeout=timeout_s, cwd=self.folder
        )
        if done.returncode != 0:
            raise RuntimeError(f"buildah {arguments[0]} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    @contextmanager
    def container(self, image: str) -> Iterator[str]:
        """The id of a working container of an image, removed at the end."""
        container = self("from", "--pull-never", image, timeout_s=BUILD_TIMEOUT_S).strip()
        try:
            yield container
        finally:
            self("rm", container)

    def run_command(self, container: str, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
        """The command line that runs a program in a container, on the machine's network, as the image's user."""
        return self.command("run", "--isolation", "chroot", "--network", "host", *options, container, "--", *arguments)


def debian_mirror() -> tuple[str, str]:
    """The mirror and the release that this machine's own apt uses."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
        timeout=RUN_TIMEOUT_S,
    )
    codename = next(
        line.partition("=")[2].strip('"')
        for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
        if line.startswith("VERSION_CODENAME=")
    )
    for line in listed.stdout.splitlines():
        uri, release, component = line.split()
        if (release, component) == (codename, "main"):
            return uri, release
    raise RuntimeError(f"apt lists no `main` of {codename}: run apt-get update")


def build_base(buildah: Buildah) -> None:
    """A minimal Debian with Python, as the image `BASE`."""
    mirror, release = debian_mirror()
    root = buildah.folder / "debian"
    packages = "python3,python3-venv,python3-pip,ca-certificates"
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={packages}", release, str(root), mirror],
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_TIMEOUT_S,
    )
    if done.returncode != 0:
        raise RuntimeError(f"debootstrap exited with {done.returncode}:\n{done.stdout[-4000:]}{done.stderr}")
    for package in (root / "var/cache/apt/archives").glob("*.deb"):
        package.unlink()
    shutil.copyfile(root / CA_BUNDLE.lstrip("/"), buildah.folder / BASE_CA_BUNDLE)
    container = buildah("from", "scratch").strip()
    buildah("add", "--quiet", container, str(root), "/", timeout_s=BUILD_TIMEOUT_S)
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    buildah("config", "--env", path, "--cmd", "python3", container)
    buildah("commit", "--quiet", "--rm", container, BASE, timeout_s=BUILD_TIMEOUT_S)
    shutil.rmtree(root)


def pip_settings() -> dict[str, str]:
    """What pip on this machine is told about its network, by file and by environment."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        check=True,
        timeout=RUN_TIMEOUT_S,
    )
    settings = {}
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    return settings


def copy_source(target: Path) -> Path:
    """What the Dockerfile needs of the checkout, held still while an image is built or built again."""
    target.mkdir()
    for name in ("Dockerfile", ".dockerignore", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, target)
    shutil.copytree(ROOT / "extauthz", target / "extauthz", ignore=shutil.ignore_patterns("__pycache__"))
    return target


def build_image(buildah: Buildah, source: Path, tag: str = IMAGE) -> None:
    """The image of the Dockerfile, on `BASE`; the machine's network settings go in as secrets."""
    settings = pip_settings()
    certificates = settings.get("cert") or ssl.get_default_verify_paths().cafile or CA_BUNDLE
    settings["cert"] = CA_BUNDLE
    pip_conf = buildah.folder / "pip.conf"
    lines = ["[global]", *(f"{name} = {' '.join(value.split())}" for name, value in sorted(settings.items()))]
    pip_conf.write_text("\n".join([*lines, ""]), encoding="utf-8")
    buildah(
        *("bud", "--format", "docker", "--isolation", "chroot", "--network", "host", "--pull-never"),
        *("--build-arg", f"BASE={BASE}", "--build-arg", f"VERSION={__version__}", "--build-arg", "REVISION=tested"),
        *("--secret", f"id=pip.conf,src={pip_conf}", "--secret", f"id=ca.crt,src={certificates}"),
        *("--tag", tag, "--file", str(source / "Dockerfile"), str(source)),
        timeout_s=BUILD_TIMEOUT_S,
    )


if __name__ == "__main__":
    if lack := cannot_build():
        sys.exit(lack)
    local = Buildah(folder=Path(sys.argv[1]).resolve())
    local.folder.mkdir(parents=True, exist_ok=True)
    if BASE not in local("images", "--format", "{{.Name}}"):
        build_base(local)
    build_image(local, ROOT)
    print(local("images"))
