"""How a cluster's word about its slots is read; that of real ones is in tests/contract."""

from typing import Any

import pytest
from redis.exceptions import ResponseError

from extauthz.adapters.redis.nodes import SlotMap, _named_nodes, _slot_map
from extauthz.adapters.redis.url import Address

ASKED = Address("asked", 7000)
A, B = Address("10.0.0.1", 7001), Address("10.0.0.2", 7002)
KEY = "extauthz:1:k"


def entry(first: Any, last: Any, host: Any = b"10.0.0.1", port: Any = 7001) -> list[Any]:
    return [first, last, [host, port, b"id", []], [b"10.0.0.9", 7009, b"replica"]]


def test_masters_have_their_slots_and_replicas_none() -> None:
    found = _slot_map([entry(0, 16_382), entry(16_383, 16_383, b"10.0.0.2", 7002)], ASKED)
    assert found.addresses == {A, B}
    assert found.owner(KEY) == A


@pytest.mark.parametrize("host", [b"", None, b"?"])
def test_a_node_that_does_not_know_its_own_address_is_the_one_that_was_asked(host: bytes | None) -> None:
    assert _slot_map([entry(0, 16_383, host)], ASKED).owner(KEY) == Address("asked", 7001)


def test_a_slot_that_nobody_has_is_nowhere() -> None:
    assert _slot_map([], ASKED).owner(KEY) is None


def test_a_redirection_moves_one_slot() -> None:
    found = _slot_map([entry(0, 16_383)], ASKED)
    found.move(16_383, B)
    assert (found.owner(KEY), found.addresses) == (A, {A, B})
    for nowhere in (-1, 16_384):
        found.move(nowhere, Address("c", 1))
    assert found.addresses == {A, B}


def test_outside_a_cluster_one_server_has_every_key() -> None:
    assert SlotMap([A]).owner(KEY) == A


@pytest.mark.parametrize(
    "reply",
    [
        None,
        b"OK",
        7,
        [[0]],
        [[0, 1]],
        [[0, 1, []]],
        [entry("a", "b")],
        [entry(-(10**12), 5)],
        [entry(5, 10**12)],
        [entry(9, 3)],
        [entry(0, 5, port=0)],
        [entry(0, 5, port=70_000)],
        [entry(0, 5, port=None)],
        [entry(0, 5, host=b"\xff")],
    ],
)
def test_an_answer_that_cannot_be_read_is_an_error_of_that_server(reply: Any) -> None:
    with pytest.raises(ResponseError, match="CLUSTER SLOTS"):
        _slot_map(reply, ASKED)


NODES = b"""\
07c37d 127.0.0.1:30004@31004,hostname4 slave e7d1 0 1426238317239 4 connected
67ed2d 127.0.0.1:30002@31002,,shard-id=69bc master - 0 1426238316232 2 connected 5461-10922
292f8b [::1]:30003@31003 master - 0 1426238318243 3 connected 10923-16383 [93-<-292f]
6ec239 :0@0 master,noaddr - 0 0 0 disconnected
824fe1 127.0.0.9:30005@31005 handshake - 0 0 0 connected
e7d1ee :30001@31001 myself,master - 0 0 1 connected 0-5460
"""


def test_a_cluster_names_nodes_without_slots_too_and_none_that_it_has_not_met() -> None:
    assert set(_named_nodes(NODES, ASKED)) == {
        Address("127.0.0.1", 30004),
        Address("hostname4", 30004),
        Address("127.0.0.1", 30002),
        Address("::1", 30003),
        Address("asked", 30001),
    }


@pytest.mark.parametrize(
    "reply",
    [None, 7, [b"x"], b"", b"\n\n", b"id", b"id host", b"id host: master", b"id host:99999 master", b"id host:0 m"],
)
def test_an_answer_that_names_nobody(reply: Any) -> None:
    assert list(_named_nodes(reply, ASKED)) == []


def test_only_what_has_slots_or_is_named_belongs_to_the_cluster() -> None:
    found = SlotMap([A, A], [B])
    assert [found.names(each) for each in (A, B, ASKED)] == [True, True, False]
