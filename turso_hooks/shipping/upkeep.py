"""What is done to a database between batches: its search index, its statistics, and that what is too old is removed.

Reading does without, if slower. So whatever is wrong with it, shipping goes on, and has its time.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from turso_hooks.drivers import Database
from turso_hooks.errors import DatabaseError, DatabaseUnavailable, describe
from turso_hooks.events import to_microseconds
from turso_hooks.shipping.counts import warn_once
from turso_hooks.store import ADDED_AT_ONCE, Prunable, Pruner, Rollups, SearchIndex

_INDEX_EVERY_S = 2.0
"""How often to bring into the search index what has come since: a search looks at some of what waits by itself."""

_ROLL_UP_EVERY_S, _ROLL_UP_EACH = 10.0, 20_000
"""How often to bring statistics to where they are read, or after how many rows: what waits is added up by who reads."""

_PRUNE_EVERY_S = 600.0
"""How often to look for what is too old."""

_PRUNE_PAUSE = 4
"""How much longer than a transaction that removes something the pause after it is."""

_SELDOM_S = 60.0
"""How often at least to try what fails: each failure may take as long as a request may."""


class _Chore:
    """Something to be done now and then, that must not be in the way of shipping."""

    def __init__(self, name: str, every_s: float, without: str) -> None:
        self.every_s = every_s
        self.failures = 0
        self.is_off = False
        self.at = 0.0
        """When it is due; at first at once, for what others have shipped."""
        self._name = name
        self._without = without

    @contextmanager
    def excused(self) -> Iterator[None]:
        """What has no answer is tried again later, each time a longer time later; what is refused is left alone."""
        try:
            yield
        except DatabaseUnavailable:
            self.failures += 1
            self.at = time.monotonic() + min(_SELDOM_S, self.every_s * 2**self.failures)
        except DatabaseError as error:
            warn_once(f"{self._name}:{error.problem}", f"%s. Until then {self._without}.", error)
            self.is_off = True
        except Exception as error:  # noqa: BLE001  # whatever another program's rows do to us, shipping goes on
            warn_once(
                f"{self._name}:{describe(error)}", f"%s failed: %s. Until then {self._without}.", self._name, describe(error)
            )
            self.is_off = True
        else:
            self.failures = 0


class _Bringing(_Chore):
    """Brings what was shipped to where it is read quickly: some of it now and then, sooner if there is much of it."""

    def __init__(  # noqa: PLR0913  # by name
        self,
        name: str,
        *,
        every_s: float,
        many: int,
        without: str,
        do_some: Callable[[], int],
        is_waiting: Callable[[], bool],
    ) -> None:
        super().__init__(name, every_s, without)
        self._many = many
        self._do_some = do_some
        self._is_waiting = is_waiting
        self._rows = 0
        """How many have come since."""
        self._may_wait = True
        self._more_at = 0.0

    def note(self, rows: int) -> None:
        """Rows have come."""
        self._rows += rows
        self._may_wait = True

    def do_if_due(self) -> None:
        """Do some of it, if it is time."""
        now = time.monotonic()
        if (self._may_wait and now >= self.at) or (self._rows >= self._many and now >= self._more_at):
            self._do()

    def do_rest(self) -> None:
        """Do all of it, if nothing is in the way."""
        while self._rows and not self.failures and not self.is_off:
            self._do()

    def _do(self) -> None:
        if self.is_off:
            return
        began = time.monotonic()
        with self.excused():
            self._rows = max(self._rows - self._do_some(), 0)
            self._may_wait = self._rows > 0 or self._is_waiting()
            now = time.monotonic()
            self.at, self._more_at = now + self.every_s, now + (now - began) / 2
        if self.failures:
            self._may_wait, self._more_at = True, self.at


class _Retention(_Chore):
    """Removes what is too old, a fifth of the time at most."""

    def __init__(self, database: Database, days: int, now: Callable[[], datetime]) -> None:
        super().__init__("retention", _PRUNE_EVERY_S, "nothing is removed")
        self._database = database
        self._kept = timedelta(days=days)
        self._now = now
        self._index = SearchIndex(database)
        self._pruner: Pruner | None = None

    def do_if_due(self) -> None:
        """Remove some of it, if it is time."""
        if self.is_off or time.monotonic() < self.at:
            return
        began = time.monotonic()
        with self.excused():
            if self._pruner is None:
                self._pruner = Pruner(self._database, Prunable(seen_before_ms=_milliseconds(self._now() - self._kept)))
            if self._pruner.remove_some() or self._index.take_out_some():
                now = time.monotonic()
                self.at = now + _PRUNE_PAUSE * (now - began)
            else:
                self._pruner = None
                self.at = time.monotonic() + self.every_s


class Upkeep:
    """The chores of one database, whose schema must be up to date."""

    def __init__(self, database: Database, *, search_index: bool, retention_days: int, now: Callable[[], datetime]) -> None:
        index, rollups = SearchIndex(database), Rollups(database)
        statistics = _Bringing(
            "statistics",
            every_s=_ROLL_UP_EVERY_S,
            many=_ROLL_UP_EACH,
            without="statistics are slow",
            do_some=rollups.do_some,
            is_waiting=rollups.is_waiting,
        )
        # A process that lives for a moment mostly leaves it to others: each of them would cost a server as much as its events.
        statistics.at = time.monotonic() + random.uniform(0, _ROLL_UP_EVERY_S)  # noqa: S311  # no secret
        text = _Bringing(
            "index",
            every_s=_INDEX_EVERY_S,
            many=ADDED_AT_ONCE,
            without="searches are slow, and find the newest only",
            do_some=index.add_some,
            is_waiting=index.is_waiting,
        )
        self._bringing = [statistics, text] if search_index else [statistics]
        self._retention = _Retention(database, retention_days, now) if retention_days else None

    def note(self, rows: int) -> None:
        """Rows were shipped."""
        for chore in self._bringing:
            chore.note(rows)

    def do_if_due(self) -> None:
        """Do some of what it is time for."""
        for chore in self._bringing:
            chore.do_if_due()
        if self._retention is not None:
            self._retention.do_if_due()

    def do_rest(self) -> None:
        """Bring in what was shipped and is not there yet, if nothing is in the way."""
        for chore in self._bringing:
            chore.do_rest()


def _milliseconds(moment: datetime) -> int:
    return to_microseconds(moment) // 1000
