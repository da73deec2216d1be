"""How much to do in one transaction, where others wait for it, and servers end one that takes too long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from turso_hooks.errors import DatabaseUnavailable

TARGET_S = 0.4
"""How long a transaction may take, which is what another writer waits. A tenth of what Turso Cloud allows one (5 s)."""


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
