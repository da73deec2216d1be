"""Doing much bit by bit: how much in one transaction, which others wait for and servers end if it takes too long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from turso_hooks.errors import DatabaseUnavailable

TARGET_S = 0.4
"""How long a transaction may take, which is what another writer waits. A tenth of what Turso Cloud allows one (5 s)."""

_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0)
"""After each of as many failures in a row: the database may be busy, or may not do so much at once."""

_LONGEST_PAUSE_S = 60.0
"""However long a server asks to be left alone: somebody waits for the command."""


class Pace:
    """How much is done at once: more where that is quick, less where it takes long or has no answer."""

    def __init__(self, first: int, most: int, target_s: float = TARGET_S) -> None:
        self.at_once = first
        self._most = most
        self._target_s = target_s

    @contextmanager
    def kept(self) -> Iterator[int]:
        """How much to do now; afterwards it is known how much next."""
        began = time.monotonic()
        try:
            yield self.at_once
        except DatabaseUnavailable:
            self.at_once = max(1, self.at_once // 2)
            raise
        took_s = time.monotonic() - began
        if took_s > self._target_s:
            self.at_once = max(1, int(self.at_once * self._target_s / took_s))
        elif took_s < self._target_s / 2:
            self.at_once = min(self._most, 2 * self.at_once)


def do_all(
    do_some: Callable[[], int],
    tell: Callable[[int], object] | None = None,
    *,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Do some until there is nothing to do, which `do_some` says with 0 or False; `tell` is told what it said else.

    Others have as much time in between: SQLite's lock has no queue. What has no answer is tried again, after a pause or when
    the server has asked for it: `do_some` has to bear that, and does less at once if it keeps to a `Pace`. Raises
    `DatabaseUnavailable` if that happens six times in a row.
    """
    failures = 0
    while True:
        began = time.monotonic()
        try:
            done = do_some()
        except DatabaseUnavailable as error:
            if failures == len(_PAUSES_S):
                raise
            pause_s = max(_PAUSES_S[failures], min(error.retry_after_s or 0, _LONGEST_PAUSE_S))
            failures += 1
        else:
            if not done:
                return
            failures = 0
            if tell is not None:
                tell(done)
            pause_s = time.monotonic() - began
        sleep(pause_s)
