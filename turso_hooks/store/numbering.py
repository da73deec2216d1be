"""Which of a writer's numbers came: gaps open where one is passed over, and close where it comes late. Pure.

A writer numbers its records 0, 1, 2 …, and appends them in that order but for one case: what a signal handler or a `__del__`
appends in the middle of another append comes before that one. So a gap is not lost for good before the writer is done.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

DAMAGED = "damaged"
"""The reason of a gap that lies where the journal was damaged. Of others it is not known here: refused, or deleted."""


class Gap(NamedTuple):
    """Consecutive numbers that did not come."""

    first: int
    last: int
    reason: str | None = None
    sessions: tuple[str, ...] = ()
    """The sessions of the records before and after it, as far as they are known: what is missing is most likely theirs."""

    @property
    def numbers(self) -> int:
        """How many they are."""
        return self.last - self.first + 1


def _first(gap: Gap) -> int:
    return gap.first


class Numbering:
    """The numbers of one writer that came so far: all below `next_number` but those of `gaps`, which are in order."""

    def __init__(self, next_number: int = 0, gaps: Iterable[Gap] = ()) -> None:
        self.next_number = next_number
        self.gaps = sorted(gaps, key=_first)

    def copy(self) -> Numbering:
        """Another one that begins where this one is."""
        return Numbering(self.next_number, self.gaps)

    def has(self, number: int) -> bool:
        """Whether a number came."""
        return number < self.next_number and self._gap_with(number) is None

    def count(self, number: int, *, is_after_damage: bool = False) -> Gap | None:
        """Take note of a number that came; the gap before it, if it left one."""
        expected, self.next_number = self.next_number, max(self.next_number, number + 1)
        if number > expected:
            gap = Gap(expected, number - 1, DAMAGED if is_after_damage else None)
            self.gaps.append(gap)
            return gap
        if number < expected:
            self._fill(number)
        return None

    def name_sessions(self, gap: Gap, sessions: Iterable[str]) -> None:
        """Say between which sessions' records a gap is that was left just now."""
        assert self.gaps[-1] == gap
        self.gaps[-1] = gap._replace(sessions=tuple(dict.fromkeys(sessions)))

    def _fill(self, number: int) -> None:
        at = self._gap_with(number)
        if at is not None:
            gap = self.gaps[at]
            parts = (gap._replace(last=number - 1), gap._replace(first=number + 1))
            self.gaps[at : at + 1] = [part for part in parts if part.numbers > 0]

    def _gap_with(self, number: int) -> int | None:
        """Where the gap is in which a number lies."""
        at = bisect_right(self.gaps, number, key=_first) - 1
        return at if at >= 0 and number <= self.gaps[at].last else None
