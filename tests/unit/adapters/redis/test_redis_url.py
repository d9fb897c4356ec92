"""How a Redis URL is read; what is behind it is in tests/contract, over real servers."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.adapters.redis.url import FORMS, Address, Form, Login, TlsFiles, read_redis_url
from extauthz.config.settings.settings import REDIS_SCHEMES

DOCUMENTED = Path(__file__).parents[4] / "docs" / "reference" / "redis.md"


def test_one_server() -> None:
    read = read_redis_url("redis://svc:p%40ss@cache.example.com:6380/3?protocol=3")
    assert (read.form, read.hosts, read.tls) == (Form.SINGLE, (Address("cache.example.com", 6380),), None)
    assert read.login == Login(username="svc", password="p@ss")
    assert (read.database, read.protocol) == (3, 3)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://localhost", Address("localhost", 6379)),
        ("redis://", Address("localhost", 6379)),
        ("redis://[::1]:7000", Address("::1", 7000)),
        ("redis://[::1]", Address("::1", 6379)),
        ("redis://:secret@10.0.0.1", Address("10.0.0.1", 6379)),
    ],
)
def test_hosts_and_ports(url: str, address: Address) -> None:
    assert read_redis_url(url).hosts == (address,)


def test_an_address_is_written_as_in_a_url() -> None:
    assert [str(Address("a", 1)), str(Address("::1", 2))] == ["a:1", "[::1]:2"]


def test_a_unix_socket() -> None:
    read = read_redis_url("unix://svc:secret@/run/my%20redis.sock?db=2")
    assert (read.hosts, read.socket, read.database) == ((), "/run/my redis.sock", 2)
    assert read.login == Login(username="svc", password="secret")


def test_sentinels() -> None:
    read = read_redis_url(
        "redis+sentinel://svc:a%2Cb@h1,h2:26380,[::1]:1/my-master.1/4?sentinel_username=w&sentinel_password=x%20y"
    )
    assert read.form is Form.SENTINEL
    assert read.hosts == (Address("h1", 26379), Address("h2", 26380), Address("::1", 1))
    assert (read.master, read.database) == ("my-master.1", 4)
    assert read.login == Login(username="svc", password="a,b")
    assert read.sentinel_login == Login(username="w", password="x y")


def test_without_credentials_of_their_own_sentinels_are_sent_none() -> None:
    read = read_redis_url("redis+sentinel://svc:secret@h1/mymaster")
    assert read.sentinel_login == Login(username=None, password=None)


def test_a_cluster() -> None:
    read = read_redis_url("redis+cluster://svc:secret@h1:7000,h2:7001,h1:7000/0")
    assert (read.form, read.hosts) == (Form.CLUSTER, (Address("h1", 7000), Address("h2", 7001)))
    assert read.login == Login(username="svc", password="secret")


@pytest.mark.parametrize("scheme", ["rediss", "rediss+sentinel", "rediss+cluster"])
def test_tls_and_its_files(scheme: str, tmp_path: Path) -> None:
    ca, cert, key = (tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem"))
    for file in (ca, cert, key):
        file.write_text("x")
    path = "/mymaster" if "sentinel" in scheme else ""
    read = read_redis_url(f"{scheme}://h{path}?ssl_ca_certs={ca}&ssl_certfile={cert}&ssl_keyfile={key}")
    assert read.tls == TlsFiles(ca=str(ca), cert=str(cert), key=str(key))
    assert read_redis_url(f"{scheme}://h{path}").tls == TlsFiles(ca=None, cert=None, key=None)


def test_every_form_that_is_documented_can_be_read() -> None:
    urls = re.findall(r"^\| `([a-z+]+://[^`]+)` \|", DOCUMENTED.read_text(encoding="utf-8"), re.MULTILINE)
    assert {read_redis_url(url).form for url in urls} == set(Form)


def test_the_settings_take_the_schemes_that_can_be_read() -> None:
    assert set(REDIS_SCHEMES) == FORMS.keys()


SECRET = "TOP-SECRET"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://localhost", "must begin with redis://"),
        ("redis+sentinel:h1/mymaster", "must begin with redis://"),
        ("redis+tls://localhost", "must begin with redis://"),
        ("redis+sentinel://h1,h2", "does not name the master"),
        ("redis+sentinel://h1/my master", "does not name the master"),
        ("redis+sentinel://h1/mymaster/x", "cannot be read"),
        ("redis+sentinel://h1:0/mymaster", "cannot be read"),
        ("redis+sentinel://h1:70000/mymaster", "cannot be read"),
        ("redis+sentinel://h1,,h2/mymaster", "cannot be read"),
        (f"redis+sentinel://svc:{SECRET}@h1:{SECRET}/mymaster", "cannot be read"),
        ("redis+sentinel://h1/mymaster?protocol=4", "cannot be read"),
        ("redis+cluster://h1:7000/1", "cannot be read"),
        ("redis+cluster://h1:7000?db=1", "cannot be read"),
        ("redis+cluster://h1:7000?sentinel_password=x", "'sentinel_password'"),
        ("redis+cluster://" + ",".join(f"h{number}" for number in range(65)), "65 hosts"),
        ("redis://h1:6379,h2:6379", "several hosts"),
        ("redis://h1?ssl_ca_certs=/nowhere", "mean nothing without TLS"),
        ("rediss://h1?ssl_keyfile=/nowhere", "without ssl_certfile"),
        (f"redis://svc:12#{SECRET}@h1:6379", "cannot be read"),
        (f"redis://svc:12?{SECRET}@h1:6379", "cannot be read"),
        (f"redis://svc:12/{SECRET}@h1:6379", "cannot be read"),
        (f"redis+cluster://svc:12#{SECRET}@h1:6379", "cannot be read"),
        (f"redis+sentinel://svc:12/{SECRET}@h1:6379", "does not name the master"),
    ],
)
def test_a_bad_url_is_refused_with_a_message_that_helps_and_shows_no_secret(url: str, says: str) -> None:
    with pytest.raises(ValueError, match="Redis URL") as caught:
        read_redis_url(url)
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("scheme", ["REDISS", "Rediss+Sentinel", "reDISS+cluster"])
def test_tls_is_never_lost_by_the_case_of_the_scheme(scheme: str) -> None:
    assert read_redis_url(f"{scheme}://h{'/m' if 'entinel' in scheme else ''}").tls is not None


@pytest.mark.parametrize(
    "url",
    [
        *(
            "redis://h1\\@evil",
            "redis://svc:x@evil@h1",
            "redis://h1%2f@evil",
            "redis://h1,@evil",
            "redis://h1:1@evil:2",
        ),
        *(
            "redis://h1?@evil",
            "redis://h1/0@evil",
            "redis://h1#@evil",
            "redis://h1\n@evil",
            "redis://h1\t",
            "redis://h1 ",
        ),
        *("redis://[::1]evil", "redis://[::1", "redis://evil[::1]", "redis://::1", "redis://[::1]]", "\tredis://h1"),
    ],
)
def test_no_other_server_is_asked_than_any_reader_of_the_url_would_name(url: str) -> None:
    try:
        hosts = {address.host for address in read_redis_url(url).hosts}
    except ValueError:
        return
    assert hosts == {urlsplit(url).hostname}


# Python's reader takes brackets for an address, wherever they stand before the path.
PRINTED = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="[]"), max_size=12)


@given(PRINTED, PRINTED, PRINTED)
def test_one_server_is_read_as_by_pythons_own_reader(user: str, password: str, host: str) -> None:
    url = f"redis://{user}:{password}@{host}"
    try:
        read = read_redis_url(url)
    except ValueError:
        return
    theirs = urlsplit(url)
    assert [address.host.lower() for address in read.hosts] == [unquote(theirs.hostname or "localhost").lower()]
    assert (read.login.username or "", read.login.password or "") == (
        unquote(theirs.username or ""),
        unquote(theirs.password or ""),
    )


def test_a_url_shows_no_secret() -> None:
    read = read_redis_url(f"redis+sentinel://svc:{SECRET}@h1/m?sentinel_password={SECRET}")
    assert SECRET not in f"{read!r} {read} {read.login!r} {read.sentinel_login!r}"
