from __future__ import annotations

from typing import Any

import pytest

from benchmarks.peers.report import distribution, markdown, survival, verdict
from benchmarks.peers.roster import OURS
from benchmarks.peers.work import conversation

SAFE, FORGETFUL, FLOOR = "safe", "forgetful", "floor"


def run_of(*rounds: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """Rounds of peers, each with what all its times are and the share that survives kill -9."""

    def figures(us: float, survives: float) -> dict[str, Any]:
        cost = {"p50": us, "p99": us, "max": us, "events_per_s": 1000.0, "kept": 1.0}
        return {"flat": cost, "paced": cost, "killed": {"flat": 1.0, "paced": survives}}

    return {
        "machine": "2 cores",
        "sizes": {"turns": 100, "pause_s": 0.005, "lock_s": 8.0, "patience_s": 20.0},
        "peers": {name: {"version": "1.0", "is_floor": name == FLOOR} for name in rounds[0]},
        "rounds": [{name: figures(*each) for name, each in one.items()} for one in rounds],
        "faults": {},
        "failed": {},
    }


def kept(run: dict[str, Any]) -> list[bool | None]:
    """Of: survives; fastest of the safe; none of the forgetful much faster. The four speeds of a claim are equal here."""
    judgements = verdict(run)
    return [judgements[0].is_kept, judgements[1].is_kept, judgements[-1].is_kept]


def test_the_verdict_compares_with_the_safe_and_with_the_forgetful_and_not_with_floors() -> None:
    run = run_of({OURS: (10, 1), SAFE: (20, 1), FORGETFUL: (6, 0), FLOOR: (1, 1)})
    assert kept(run) == [True, True, True]
    said = [str(each) for each in verdict(run)]
    assert said[1].endswith("flat out, p50: kept; the nearest, safe, takes 2 times as long")
    assert said[-1].endswith("paced, p99: kept; the nearest, forgetful, is 1.67 times faster")


def test_the_verdict_says_what_is_not_kept_and_by_how_much() -> None:
    run = run_of({OURS: (10, 0.5), SAFE: (5, 1), FORGETFUL: (4, 0.9)})
    assert kept(run) == [False, False, False]
    assert str(verdict(run)[1]).endswith("**not kept**; the nearest, safe, is 2 times faster")


def test_a_verdict_on_nobody_is_none() -> None:
    assert kept(run_of({OURS: (10, 1), FLOOR: (1, 1)})) == [True, None, None]
    assert [each.is_kept for each in verdict(run_of({SAFE: (10, 1)}))] == [None]


def test_ratios_are_taken_within_a_round_and_survival_is_that_of_the_worst() -> None:
    slow, quick = {OURS: (100.0, 1.0), SAFE: (150.0, 1.0)}, {OURS: (10.0, 1.0), SAFE: (15.0, 0.9)}
    run = run_of(slow, quick, quick)
    assert survival(run, SAFE) == 0.9
    assert str(verdict(run)[-1]).endswith("the nearest, safe, takes 1.5 times as long")


def test_percentiles_are_calls_that_happened() -> None:
    assert distribution([1000 * n for n in range(100, 0, -1)]) == {"p50": 50, "p99": 99, "max": 100}
    assert distribution([7000]) == {"p50": 7, "p99": 7, "max": 7}


@pytest.mark.parametrize(
    ("outcome", "shown"),
    [
        (None, "-"),
        ({"hangs": "calls", "after_s": 20.1, "calls": 0, "kept": 0.0}, "calls hang over 20 s; kept: 0 %"),
        (
            {
                "hangs": None,
                "calls": 302,
                "longest_ms": 5012.3,
                "raised": 2,
                "errors": {"E": 2},
                "exit_s": 0.31,
                "kept": 300 / 302,
            },
            "longest call 5,012 ms, 2 of 302 raise (E); exit 0.3 s; kept: 99.3 %",
        ),
        (
            {"hangs": "exit", "calls": 302, "longest_ms": 0.1, "raised": 0, "errors": {}, "exit_s": 19.9, "kept": None},
            "longest call 0.1 ms; exit over 20 s; kept: not counted",
        ),
    ],
)
def test_what_a_sick_backend_does_is_said_in_a_line(outcome: dict[str, Any] | None, shown: str) -> None:
    run = run_of({OURS: (10, 1)})
    run["faults"] = {OURS: {"locked": outcome}}
    run["failed"] = {"other": "cannot be installed"}
    text = markdown(run)
    assert f"| {OURS} | {shown} | - | - |" in text
    assert "- other: cannot be installed" in text


def test_a_conversation_is_302_events_and_no_two_texts_are_the_same() -> None:
    events = [*conversation("session-1", 100), *conversation("session-2", 100)]
    assert len(events) == 604
    assert {(event.kind, len(event.text), len(event.answer)) for event in events} == {
        ("started", 0, 0),
        ("user", 200, 0),
        ("assistant", 800, 0),
        ("tool", 136, 1500),
        ("ended", 0, 0),
    }
    texts = [event.text for event in events if event.text]
    assert len(set(texts)) == len(texts)
