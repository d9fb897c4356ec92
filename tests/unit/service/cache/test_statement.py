import pytest

from extauthz.service.asking import drive
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.cache.statement import Statement, find_statement, leave_statement, pack, store_key, unpack
from extauthz.service.call import Moment
from extauthz.service.needs import Answer, NeedStored, Resolved

SIGNER, FOREIGN = Signer([b"0" * 32]), Signer([b"1" * 32])
KEY = store_key("colour", "sky")
NOW = 1_000.0


def found(entry: Answer, key: str = KEY, now: float = NOW) -> Statement | None:
    asked: list[object] = []

    def resolve(need: object) -> Resolved:
        asked.append(need)
        return Resolved(answer=entry, now=now)

    statement = drive(find_statement(key, SIGNER, Moment(now=now, deadline=None)), resolve)
    assert asked == [NeedStored(key=key)]
    return statement


def left(until: float = NOW + 60, key: str = KEY, signer: Signer = SIGNER) -> bytes:
    (write,) = leave_statement(key, ("blue", 7), until, signer, NOW)
    assert write.key == key
    return write.value


def test_what_one_process_leaves_another_finds() -> None:
    assert found(left()) == Statement(("blue", 7), 1_060)


def test_a_statement_ends_in_whole_seconds_and_never_later_than_it_may() -> None:
    assert found(left(NOW + 60.9)) == Statement(("blue", 7), 1_060)
    assert found(left(), now=1_059.9) is not None
    assert found(left(), now=1_060.0) is None


@pytest.mark.parametrize("until", [NOW - 1, NOW, NOW + 0.9])
def test_nothing_is_left_that_would_end_within_the_second(until: float) -> None:
    assert leave_statement(KEY, ("blue",), until, SIGNER, NOW) == ()


@pytest.mark.parametrize(
    "entry",
    [
        *(None, b"", b"[2]", left()[:-1], left() + b"\x00", left(signer=FOREIGN)),
        *(left(key=store_key("colour", "grass")), left(key=store_key("taste", "sky"))),
    ],
)
def test_what_is_not_authentic_for_its_kind_and_key_is_a_miss(entry: Answer) -> None:
    assert found(entry) is None


@pytest.mark.parametrize("other_kind", ["taste", "colou", "colour:", ""])
def test_the_kind_is_signed_and_not_only_part_of_the_key(other_kind: str) -> None:
    assert found(SIGNER.sign(other_kind, KEY, pack(("blue",), 1_060), 1_060)) is None


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"{", b"null", b"[]", b"7", b'"x"', b'{"a":1}', b"[2]", b'[2,"x"]', b"\xff"),
        *(b'[1,"x",100]', b'[3,"x",100]', b'[true,"x",100]', b'["2","x",100]', b'[2,"x","100"]', b'[2,"x",true]'),
        *(b'[2,"x",100.0]', b'[2,"x",null]', b'[2.0,"x",100]'),
    ],
)
def test_an_authentic_payload_of_another_version_says_nothing(payload: bytes) -> None:
    assert unpack(payload) is None


def test_a_payload_is_short_and_reads_as_it_was_written() -> None:
    assert pack(("blue", 7), 100) == b'[2,"blue",7,100]'
    assert unpack(pack(("blue", 7), 100)) == Statement(("blue", 7), 100)


def test_every_part_of_the_key_counts_and_no_two_part_lists_collide() -> None:
    parts = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("a", "b", "c")]
    assert len({store_key(kind, *each) for kind in ("x", "y") for each in parts}) == 2 * len(parts)
