"""Reading the transcripts of sub-agents, of whose model calls the SDK's stream has no tokens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from turso_hooks.adapters.claude_code.following import FileRead, Follower
from turso_hooks.events import Event


class Transcripts:
    """The transcripts of sub-agents, each read on from where it ended.

    On a thread, for a file may be long and a disk slow: gone when they are read, and waited for at the interpreter's exit.
    What goes wrong in it is given to `failed`.
    """

    def __init__(self, emit: Callable[[Event], object], failed: Callable[[Exception], object]) -> None:
        self._files: dict[str, FileRead] = {}
        self._follower = Follower(emit, self._files)
        self._failed = failed
        self._paths: dict[Path, None] = {}
        self._prices: dict[str, float] = {}
        self._lock = threading.Lock()

    def follow(self, path: Path) -> None:
        """Read one, now and whenever all are."""
        self._paths[path] = None
        self.read()

    def read(self, prices: Mapping[str, float] = MappingProxyType({})) -> None:
        """Read what is new in all of them; `prices` is what a token of input costs, for each model of which that is known."""
        self._prices.update(prices)
        if self._paths:
            threading.Thread(
                target=self._read, args=(list(self._paths), dict(self._prices)), name="turso-hooks-transcripts"
            ).start()

    def _read(self, paths: list[Path], prices: dict[str, float]) -> None:
        try:
            with self._lock:
                for path in paths:
                    self._follower.read_one(path, prices)
        except Exception as error:  # noqa: BLE001  # a thread's exception would be printed into the agent's terminal
            self._failed(error)
