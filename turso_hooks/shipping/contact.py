"""When a database was last reached, and what was in the way when it was not: told by whoever ships, for whoever asks.

Two small files in the journal's folder, so that the answer is there when the database is not: `reached`, whose time is that of
the last batch, look or note the database took, and `problem`, with what the last failure said. Every process that ships for
this database writes them; the last one stands. A failure counts only if it is later than the last success.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import datetime, timezone
from typing import NamedTuple

from turso_hooks.journal import JournalFolder

_REACHED, _PROBLEM = "reached", "problem"
_TELL_EVERY_S = 1.0
"""How often the same news is worth a write."""


class Contact(NamedTuple):
    """What is known of a database without asking it."""

    reached_at: datetime | None
    problem: str | None
    """What stands in the way; None if nothing does, as far as is known."""
    failed_at: datetime | None
    """When that was last seen."""


class ContactLog:
    """Tells of one shipper's contact with the database. Never raises: a journal without room for this ships all the same."""

    def __init__(self, folder: JournalFolder) -> None:
        self._folder = folder
        self._told_at = float("-inf")
        self._told: str | None = None

    def reached(self) -> None:
        """The database has answered."""
        if self._is_news(None):
            path = self._folder.path / _REACHED
            with suppress(OSError):
                try:
                    os.utime(path)
                except FileNotFoundError:
                    self._folder.write_note(_REACHED, "")

    def failed(self, problem: str) -> None:
        """The database has not answered, or refused."""
        if self._is_news(problem):
            with suppress(OSError):
                self._folder.write_note(_PROBLEM, problem + "\n")

    def _is_news(self, told: str | None) -> bool:
        now = time.monotonic()
        if told == self._told and now - self._told_at < _TELL_EVERY_S:
            return False
        self._told, self._told_at = told, now
        return True


def read_contact(folder: JournalFolder) -> Contact:
    """What the journal's folder says about the database. Never raises."""
    reached_at, failed_at = _changed_at(folder, _REACHED), _changed_at(folder, _PROBLEM)
    if failed_at is None or (reached_at is not None and reached_at >= failed_at):
        return Contact(reached_at, None, None)
    try:
        problem = (folder.path / _PROBLEM).read_text("utf-8", errors="replace").rstrip("\n")
    except OSError:
        return Contact(reached_at, None, None)
    return Contact(reached_at, problem, failed_at)


def _changed_at(folder: JournalFolder, name: str) -> datetime | None:
    try:
        return datetime.fromtimestamp((folder.path / name).stat().st_mtime, timezone.utc)
    except OSError:
        return None
