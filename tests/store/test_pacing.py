from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from turso_hooks.errors import DatabaseUnavailable, DatabaseUnusable
from turso_hooks.store.pacing import Pace, do_all

NO_ANSWER = DatabaseUnavailable("do some", "the database", "no answer")


def doing(*results: int | Exception) -> Callable[[], int]:
    left = list(results)

    def do_some() -> int:
        result = left.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    return do_some


def test_all_is_done_and_told() -> None:
    told: list[int] = []
    do_all(doing(3, 2, 0), told.append)
    do_all(doing(True, False))
    assert told == [3, 2]


def test_what_has_no_answer_is_tried_again_but_not_for_ever() -> None:
    told: list[int] = []
    pauses: list[float] = []
    do_all(doing(*[NO_ANSWER] * 5, 1, *[NO_ANSWER] * 5, 1, 0), told.append, sleep=pauses.append)
    assert told == [1, 1]
    assert pauses[:5] == pauses[6:11] == sorted(pauses[:5])
    assert pauses[0] > pauses[5]
    with pytest.raises(DatabaseUnavailable):
        do_all(doing(1, *[NO_ANSWER] * 6, 1, 0), sleep=pauses.append)


@pytest.mark.parametrize(("asked_s", "pause_s"), [(7.0, 7.0), (3600.0, 60.0), (0.01, 0.1)])
def test_a_server_is_left_alone_for_as_long_as_it_asks_and_a_minute_at_most(asked_s: float, pause_s: float) -> None:
    pauses: list[float] = []
    busy = DatabaseUnavailable("do some", "the database", "too many requests")
    busy.retry_after_s = asked_s
    do_all(doing(busy, 0), sleep=pauses.append)
    assert pauses == [pause_s]


def test_what_is_refused_is_not_tried_again() -> None:
    with pytest.raises(DatabaseUnusable):
        do_all(doing(DatabaseUnusable("do some", "the database", "it is read-only"), 0))


def test_others_have_as_much_time_in_between() -> None:
    ends: list[float] = []

    def do_some() -> bool:
        begins.append(time.monotonic())
        time.sleep(0.05)
        ends.append(time.monotonic())
        return len(ends) < 4

    begins: list[float] = []
    do_all(do_some)
    assert all(begin - end >= 0.05 for begin, end in zip(begins[1:], ends, strict=False))


def test_less_is_done_at_once_after_no_answer_and_more_where_it_is_quick() -> None:
    pace = Pace(8, 20)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable), pace.kept():
            raise NO_ANSWER
    assert pace.at_once == 2
    for _ in range(5):
        with pace.kept():
            pass
    assert pace.at_once == 20
    slow = Pace(100, 1000, target_s=0.01)
    with slow.kept():
        time.sleep(0.1)
    assert 1 <= slow.at_once <= 10
