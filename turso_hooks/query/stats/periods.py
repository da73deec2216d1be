"""Which days are meant, and the few periods they are made up of: months, as far as whole ones are among them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from typing import NamedTuple

from turso_hooks.errors import QueryError

_EPOCH = date(1970, 1, 1)
_ALL, _TIMED = "", "0"
"""Before all periods: with what has no time, whose period is empty, or without it."""

_DAY = timedelta(days=1)
_A_MONTH = timedelta(days=31)
_LAST_MONTH = date.max.replace(day=1)
_LAST = str(date.max)


class Period(NamedTuple):
    """Consecutive days or months, the last one included, as they are written in `stats`."""

    span: str
    first: str
    last: str


class Days(NamedTuple):
    """Consecutive days of UTC, `until` not included; None where there is no end."""

    since: date | None
    until: date | None

    @classmethod
    def touched(cls, since: datetime | None, until: datetime | None) -> Days:
        """The days that a stretch of time touches. Raises `QueryError` if it is none."""
        if since is not None and until is not None and since.astimezone() >= until.astimezone():
            raise QueryError(f"nothing is since {since} and before {until}: the first must be earlier")
        first = None if since is None else since.astimezone(timezone.utc).date()
        if until is None:
            return cls(first, None)
        end = until.astimezone(timezone.utc)
        last = end.date() if end.time() == time.min else min(end.date(), date.max - _DAY) + _DAY
        return cls(first, max(last, date.min + _DAY))

    @property
    def is_all(self) -> bool:
        """Whether everything is meant, with what has no time."""
        return self.since is None and self.until is None

    @property
    def numbers(self) -> tuple[int, int]:
        """The first and the last of them as days since 1970."""
        first, last = self.since or date.min, date.max if self.until is None else self.until - _DAY
        return (first - _EPOCH).days, (last - _EPOCH).days

    def as_days(self) -> tuple[Period, ...]:
        """All of them, as days."""
        return (self._days(self.since, self.until),)

    def as_months(self) -> tuple[Period, ...]:
        """All of them, as months where whole ones are among them."""
        begin = None if self.since is None else _next_first(self.since)
        end = None if self.until is None else self.until.replace(day=1)
        if self.since is not None and (begin is None or (end is not None and begin >= end)):
            return self.as_days()
        return tuple(self._parts(begin, end))

    def _parts(self, begin: date | None, end: date | None) -> Iterator[Period]:
        if begin != self.since:
            yield self._days(self.since, begin)
        months = self._days(begin, end)
        yield Period("month", months.first[:7], months.last[:7])
        if end != self.until:
            yield self._days(end, self.until)

    def _days(self, since: date | None, until: date | None) -> Period:
        beginning = _ALL if self.is_all else _TIMED
        return Period("day", beginning if since is None else str(since), _LAST if until is None else str(until - _DAY))


def _next_first(day: date) -> date | None:
    """The first day of a month, that day or the next one; None where the calendar ends."""
    if day.day == 1:
        return day
    return None if day > _LAST_MONTH else (day.replace(day=1) + _A_MONTH).replace(day=1)
