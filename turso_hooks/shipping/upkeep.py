"""What is done to a database between batches, so that it is read quickly: its search index and its statistics.

Reading does without, if slower. So whatever is wrong with it, shipping goes on, and has its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from turso_hooks.drivers import Database
from turso_hooks.errors import DatabaseError, DatabaseUnavailable
from turso_hooks.shipping.counts import warn_once
from turso_hooks.store import ADDED_AT_ONCE, Rollups, SearchIndex

_INDEX_EVERY_S = 2.0
"""How often to bring into the search index what has come since: a search looks at some of what waits by itself."""

_ROLL_UP_EVERY_S, _ROLL_UP_EACH = 10.0, 20_000
"""How often to bring statistics to where they are read, or after how many rows: what waits is added up by who reads."""

_SELDOM_S = 60.0
"""How often at least to try what fails: each failure may take as long as a request may."""


@dataclass
class Chore:
    """Something to be done now and then, some of it at a time."""

    name: str
    do_some: Callable[[], int]
    """Returns of how many rows that was, at most. Raises `DatabaseError`."""
    is_waiting: Callable[[], bool]
    """Whether there is something to do. Raises `DatabaseError`."""
    every_s: float
    many: int
    """So many rows are worth doing it sooner."""
    without: str
    """What is so while it cannot be done."""

    def __post_init__(self) -> None:
        """At first there may be what was shipped by others."""
        self.rows = 0
        """How many have come since, at least."""
        self.failures = 0
        self._is_off = False
        self._may_wait = True
        self._at = self._more_at = 0.0

    def note(self, rows: int) -> None:
        """Rows have come."""
        self.rows += rows
        self._may_wait = True

    def do_if_due(self) -> None:
        """Do some of it, if it is time."""
        now = time.monotonic()
        if (self._may_wait and now >= self._at) or (self.rows >= self.many and now >= self._more_at):
            self._do()

    def do_rest(self) -> None:
        """Do all of it, if nothing is in the way."""
        while self.rows and not self.failures and not self._is_off:
            self._do()

    def _do(self) -> None:
        if self._is_off:
            return
        began = time.monotonic()
        try:
            self.rows = max(self.rows - self.do_some(), 0)
            self._may_wait = self.rows > 0 or self.is_waiting()
        except DatabaseUnavailable:
            self._may_wait = True
            self.failures += 1
            self._at = self._more_at = time.monotonic() + min(_SELDOM_S, self.every_s * 2**self.failures)
        except DatabaseError as error:
            warn_once(f"{self.name}:{error.problem}", f"%s. Until then {self.without}.", error)
            self._is_off = True
        else:
            self.failures = 0
            now = time.monotonic()
            self._at, self._more_at = now + self.every_s, now + (now - began) / 2


class Upkeep:
    """The chores of one database, whose schema must be up to date."""

    def __init__(self, database: Database, *, search_index: bool) -> None:
        index, rollups = SearchIndex(database), Rollups(database)
        without_index = "searches are slow, and find the newest only"
        self._index = Chore("index", index.add_some, index.is_waiting, _INDEX_EVERY_S, ADDED_AT_ONCE, without_index)
        without_rollups = "statistics are slow"
        self._rollups = Chore(
            "statistics", rollups.do_some, rollups.is_waiting, _ROLL_UP_EVERY_S, _ROLL_UP_EACH, without_rollups
        )
        self._chores = [self._index, self._rollups] if search_index else [self._rollups]

    def note(self, rows: int) -> None:
        """Rows were shipped."""
        for chore in self._chores:
            chore.note(rows)

    def do_if_due(self) -> None:
        """Do some of what it is time for."""
        for chore in self._chores:
            chore.do_if_due()

    def do_rest(self) -> None:
        """Bring in what was shipped and is not there yet, if nothing is in the way."""
        for chore in self._chores:
            chore.do_rest()
