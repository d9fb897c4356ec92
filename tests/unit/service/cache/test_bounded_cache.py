from extauthz.service.cache.bounded_cache import BoundedCache


def test_a_value_is_remembered_until_its_time() -> None:
    memory: BoundedCache[str] = BoundedCache(10, 10**6)
    memory.put("k", "v", until=100.0, size_bytes=1)
    assert memory.get("k", 99.9) == "v"
    assert memory.get("k", 100.0) is None


def test_an_expired_value_does_not_come_back_when_the_clock_is_set_back() -> None:
    memory: BoundedCache[str] = BoundedCache(10, 10**6)
    memory.put("k", "v", until=100.0, size_bytes=1)
    memory.get("k", 101.0)
    assert memory.get("k", 50.0) is None


def test_the_least_recently_used_goes_first() -> None:
    memory: BoundedCache[int] = BoundedCache(2, 10**6)
    memory.put("a", 1, until=9.0, size_bytes=1)
    memory.put("b", 2, until=9.0, size_bytes=1)
    memory.get("a", 1.0)
    memory.put("c", 3, until=9.0, size_bytes=1)
    assert [memory.get(key, 1.0) for key in "abc"] == [1, None, 3]
    assert len(memory) == 2


def put_if_same(memory: BoundedCache[str], seen: str | None, value: str, now: float = 1.0) -> bool:
    return memory.put_if_same("k", seen, value, until=10.0, now=now, size_bytes=1)


def test_put_if_same_replaces_what_was_seen_and_nothing_else() -> None:
    memory: BoundedCache[str] = BoundedCache(10, 10**6)
    assert put_if_same(memory, None, "first")
    assert not put_if_same(memory, None, "second")
    first = memory.get("k", 1.0)
    assert put_if_same(memory, first, "third")
    assert not put_if_same(memory, first, "fourth")
    assert memory.get("k", 1.0) == "third"


def test_put_if_same_takes_what_has_ended_for_absent() -> None:
    memory: BoundedCache[str] = BoundedCache(10, 10**6)
    assert put_if_same(memory, None, "first")
    assert put_if_same(memory, None, "second", now=10.0)


def test_items_are_those_that_live() -> None:
    memory: BoundedCache[int] = BoundedCache(10, 10**6)
    for number in range(3):
        memory.put(number, number * 10, until=float(number), size_bytes=1)
    assert memory.items(1.0) == [(2, 20)]


def test_clear_forgets_everything() -> None:
    memory: BoundedCache[int] = BoundedCache(3, 10**6)
    memory.put("k", 1, until=9.0, size_bytes=1)
    memory.clear()
    assert memory.get("k", 1.0) is None


def test_bytes_are_bounded_as_well_as_entries() -> None:
    memory: BoundedCache[str] = BoundedCache(1000, 100)
    for key in "abcd":
        memory.put(key, key, until=9.0, size_bytes=40)
    assert [memory.get(key, 1.0) for key in "abcd"] == [None, None, "c", "d"]
    assert memory.size_bytes == 80


def test_an_entry_larger_than_everything_is_not_kept_and_harms_nobody_twice() -> None:
    memory: BoundedCache[str] = BoundedCache(1000, 100)
    memory.put("huge", "x", until=9.0, size_bytes=101)
    assert (len(memory), memory.size_bytes) == (0, 0)


def test_what_is_replaced_forgotten_or_expired_is_counted_no_more() -> None:
    memory: BoundedCache[str] = BoundedCache(1000, 100)
    memory.put("k", "old", until=9.0, size_bytes=60)
    memory.put("k", "new", until=9.0, size_bytes=50)
    assert memory.size_bytes == 50
    memory.get("k", 10.0)
    assert memory.size_bytes == 0
    memory.put("k", "v", until=9.0, size_bytes=50)
    memory.clear()
    assert memory.size_bytes == 0


HOUR_S = 3_600.0


class Clocks:
    """A wall clock that can be set, and the time that passes."""

    def __init__(self) -> None:
        self.wall = 10_000.0
        self.passed = 5.0

    def monotonic(self) -> float:
        return self.passed

    def cache(self, *, lasts_longer: bool) -> BoundedCache[str]:
        memory: BoundedCache[str] = BoundedCache(10, 10**6, monotonic=self.monotonic, lasts_longer=lasts_longer)
        memory.put("k", "v", until=self.wall + 60, size_bytes=1, now=self.wall)
        return memory


def test_what_lets_pass_ends_when_its_time_has_passed_though_the_clock_was_set_back() -> None:
    clocks = Clocks()
    memory = clocks.cache(lasts_longer=False)
    clocks.wall -= HOUR_S
    clocks.passed += 59.9
    assert memory.get("k", clocks.wall) == "v"
    clocks.passed += 0.1
    assert memory.items(clocks.wall) == []
    assert memory.get("k", clocks.wall) is None


def test_what_lets_pass_ends_by_a_clock_that_was_set_ahead() -> None:
    clocks = Clocks()
    memory = clocks.cache(lasts_longer=False)
    assert memory.get("k", clocks.wall + 60) is None


def test_what_keeps_out_outlives_a_clock_that_was_set_ahead() -> None:
    clocks = Clocks()
    memory = clocks.cache(lasts_longer=True)
    clocks.wall += 25 * HOUR_S
    assert memory.get("k", clocks.wall) == "v"
    assert memory.items(clocks.wall) == [("k", "v")]
    assert not memory.put_if_same("k", None, "w", until=clocks.wall + 60, now=clocks.wall, size_bytes=1)
    clocks.passed += 60
    assert memory.put_if_same("k", None, "w", until=clocks.wall + 60, now=clocks.wall, size_bytes=1)


def test_what_keeps_out_outlives_a_clock_that_was_set_back() -> None:
    clocks = Clocks()
    memory = clocks.cache(lasts_longer=True)
    clocks.wall -= HOUR_S
    clocks.passed += HOUR_S
    assert memory.get("k", clocks.wall) == "v"


def test_without_the_passing_time_the_wall_clock_decides() -> None:
    memory: BoundedCache[str] = BoundedCache(10, 10**6, lasts_longer=True)
    memory.put("k", "v", until=100.0, size_bytes=1, now=40.0)
    assert memory.get("k", 99.9) == "v"
    assert memory.get("k", 100.0) is None
