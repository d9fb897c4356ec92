"""Both sides of a need: what is sent in, and what time does meanwhile."""

import pytest

from extauthz.service.asking import Asking, Finished, TooLateError, advance, ask, drive
from extauthz.service.call import Moment
from extauthz.service.needs import Answer, Awaited, NeedStored, Resolved

FIRST, SECOND = NeedStored(key="first"), NeedStored(key="second")


def two(moment: Moment) -> Asking[tuple[Answer, Answer]]:
    one = yield from ask(FIRST, moment)
    other = yield from ask(SECOND, moment)
    return one, other


def test_each_need_gets_its_own_answer_and_the_time_goes_on() -> None:
    moment = Moment(now=1.0, deadline=None)
    answers = {FIRST: Resolved(answer=b"1", now=2.0), SECOND: Resolved(answer=None, now=3.0)}
    assert drive(two(moment), answers.__getitem__) == (b"1", None)
    assert moment.now == 3.0


def test_driving_goes_on_from_what_was_reached() -> None:
    steps = two(Moment(now=1.0, deadline=None))
    reached = advance(steps)
    assert reached == FIRST
    asked: list[Awaited] = []

    def resolve(need: Awaited) -> Resolved:
        asked.append(need)
        return Resolved(answer=b"x", now=2.0)

    assert drive(steps, resolve, reached) == (b"x", b"x")
    assert asked == [FIRST, SECOND]


def test_what_needs_nothing_is_finished_at_once() -> None:
    def steps() -> Asking[int]:
        return 7
        yield FIRST

    assert advance(steps()) == Finished(7)


@pytest.mark.parametrize(("deadline", "late"), [(None, False), (2.5, False), (2.0, True), (1.5, True)])
def test_an_answer_at_the_deadline_or_after_it_is_too_late(deadline: float | None, late: bool) -> None:
    steps = ask(FIRST, Moment(now=1.0, deadline=deadline))
    if late:
        with pytest.raises(TooLateError):
            drive(steps, lambda _: Resolved(answer=b"1", now=2.0))
    else:
        assert drive(steps, lambda _: Resolved(answer=b"1", now=2.0)) == b"1"
