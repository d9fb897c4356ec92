"""Policies whose values want to be more than values, through `extauthz render envoy`: refused, or rendered as values.

What a policy writes ends up in YAML, in regular expressions, in header values and in documents that Envoy serves. A
value changes nothing outside of its place, and none of the settings that make the configuration safe; and Envoy takes
what was rendered.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from extauthz.cli import run
from tests.support.rendered_edge import ENVOY

pytestmark = pytest.mark.e2e

TEXTS: Final = {
    "YAML list": "x\n- y: 1",
    "YAML key": 'x"\n      failure_mode_allow: true\n      y: "',
    "YAML document": "x\n---\nadmin: {}",
    "YAML anchor": "&x *x !!python/object:os.system",
    "YAML comment": "x # y",
    "YAML tag": "!!binary aGk=",
    "YAML booleans": "yes",
    "YAML number": "0x1F",
    "YAML null": "~",
    "YAML flow": "{a: b, c: [d]}",
    "substitution": "%REQ(authorization)% %DOWNSTREAM_REMOTE_ADDRESS%",
    "percent": "100%",
    "environment": "${HOME} $(id) `id`",
    "regular expression": ".*|^$(a+)+\\",
    "wildcard": "*",
    "every path": "/../..//%2e%2e/",
    "header line": "x\r\nset-cookie: a=b",
    "quotes": '"\'\\"',
    "controls": "\x00\x1b[2J\x7f",
    "line separators": "a\u2028b\x85c\u2029d",
    "direction": "\u202egnp.exe",
    "beyond the first plane": "\U0001f4a9\U000e0041",
    "long": "x" * 5_000,
    "JSON": '"}]},"authorization_servers":["https://evil.example"],"x":{"a":["',
    "HTML": "</script><script>alert(1)</script>",
}

BENIGN: Final[dict[str, Any]] = {
    "version": 1,
    "issuers": {"casdoor": {"issuer": "https://door.example.com", "organizations": ["acme"], "clients": ["client"]}},
    "resources": {
        "weather": {
            "uri": "https://mcp.example.com/weather/mcp",
            "issuers": ["casdoor"],
            "upstream": "http://127.0.0.1:8000/mcp",
            "hosts": ["weather.internal:8080"],
            "origins": ["https://app.example.com"],
            "upstream_headers": {"prefix": "x-weather-"},
            "scopes": {"weather:read": {"description": "Read"}},
            "baseline": ["weather:read"],
            "rules": [{"methods": ["tools/call"], "tools": ["get_*"], "scopes": ["weather:read"], "when": "true"}],
        }
    },
}

PLACES: Final[dict[str, tuple[str | int, ...]]] = {
    "description": ("resources", "weather", "scopes", "weather:read", "description"),
    "issuer": ("issuers", "casdoor", "issuer"),
    "uri": ("resources", "weather", "uri"),
    "uri path": ("resources", "weather", "uri", "https://mcp.example.com/"),
    "upstream": ("resources", "weather", "upstream"),
    "upstream path": ("resources", "weather", "upstream", "http://127.0.0.1:8000/"),
    "upstream host": ("resources", "weather", "upstream", "http://"),
    "host": ("resources", "weather", "hosts", 0),
    "origin": ("resources", "weather", "origins", 0),
    "prefix": ("resources", "weather", "upstream_headers", "prefix"),
}


def with_value(place: str, text: str) -> dict[str, Any]:
    policy: dict[str, Any] = json.loads(json.dumps(BENIGN))
    *way, last = PLACES[place]
    if "://" in str(last):
        text, last = f"{last}{text}", way.pop()
    found: Any = policy
    for step in way:
        found = found[step]
    found[last] = text
    return policy


def renamed(place: str, text: str) -> dict[str, Any]:
    """The names of things are the policy's as well."""
    written = json.dumps(BENIGN)
    old = {"resource name": '"weather":', "issuer name": '"casdoor"', "scope name": '"weather:read"'}[place]
    new = json.dumps(text) + (":" if old.endswith(":") else "")
    policy: dict[str, Any] = json.loads(written.replace(old, new))
    return policy


def hostile() -> Iterator[Any]:
    for name, text in (TEXTS | {"alone of a pair": "\ud800"}).items():
        for place in PLACES:
            yield pytest.param(with_value(place, text), id=f"{place}: {name}")
        for place in ("resource name", "issuer name", "scope name"):
            yield pytest.param(renamed(place, text), id=f"{place}: {name}")


CASES: Final = list(hostile())
assert len(CASES) >= 42


def rendered(policy: dict[str, Any], folder: Path) -> tuple[int, Path]:
    file, output = folder / "policy.yaml", folder / "envoy.yaml"
    file.write_text(json.dumps(policy))
    return run(["render", "envoy", "--policy", str(file), "-o", str(output)]), output


def safe_part(tree: Any) -> Any:
    """All but routes and clusters, of which there are as many as hosts and paths need."""
    (listener,) = tree["static_resources"]["listeners"]
    (manager,) = listener["filter_chains"][0]["filters"]
    routes = manager["typed_config"].pop("route_config")
    off = [
        route["name"] for host in routes["virtual_hosts"] for route in host["routes"] if "disabled" in json.dumps(route)
    ]
    assert all(name.endswith("-metadata") for name in off)
    return sorted(tree), sorted(tree["static_resources"]), shape(tree["admin"]), shape(listener)


def shape(tree: Any) -> Any:
    """Keys and the number of items, and everything that is not text."""
    match tree:
        case dict():
            return {key: shape(value) for key, value in tree.items()}
        case list():
            return [shape(value) for value in tree]
        case str():
            return str
        case _:
            return tree


@pytest.fixture(scope="module")
def benign(tmp_path_factory: pytest.TempPathFactory) -> Any:
    code, output = rendered(BENIGN, tmp_path_factory.mktemp("benign"))
    assert code == 0
    return safe_part(yaml.safe_load(output.read_text()))


@pytest.mark.parametrize("policy", CASES)
def test_a_value_is_refused_or_stays_a_value(
    policy: dict[str, Any], tmp_path: Path, benign: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    code, output = rendered(policy, tmp_path)
    told = capsys.readouterr().err
    assert all(char.isprintable() or char == "\n" for char in told)
    assert "Traceback" not in told
    if code != 0:
        assert code == 1
        assert not output.exists()
        assert ".yaml:" in told or "resources." in told or "upstream" in told
        return
    (made,) = yaml.safe_load_all(output.read_text())
    assert safe_part(made) == benign


def accepted(folder: Path) -> Iterator[Path]:
    for number, case in enumerate(CASES):
        place = folder / str(number)
        place.mkdir()
        code, output = rendered(case.values[0], place)
        if code == 0:
            yield output


def validated(configuration: Path) -> str:
    """What Envoy says against it."""
    arguments = [str(ENVOY), "--mode", "validate", "--config-path", str(configuration), "--log-level", "error"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_envoy_takes_what_is_rendered_of_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All texts at once, in the one place where any text may be, and which Envoy serves: the descriptions of scopes."""
    policy = json.loads(json.dumps(BENIGN))
    weather = policy["resources"]["weather"]
    for number, text in enumerate(TEXTS.values()):
        weather["scopes"][f"scope:{number}"] = {"description": text[:200]}
        code, output = rendered(policy, tmp_path)
        if code != 0:
            del weather["scopes"][f"scope:{number}"]
    assert len(weather["scopes"]) > 10
    code, output = rendered(policy, tmp_path)
    assert code == 0
    assert validated(output) == ""


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_envoy_takes_every_configuration_that_is_rendered(tmp_path: Path) -> None:
    refused = {str(output): said for output in accepted(tmp_path) if (said := validated(output))}
    assert refused == {}
