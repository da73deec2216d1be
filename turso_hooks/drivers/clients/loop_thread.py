"""An asyncio event loop on a thread of its own, for clients that know asyncio only: any caller may use them, trio among them.

So a client belongs to no loop of its user's: it outlives `asyncio.run`, and serves several loops with the same connections.
The thread is a daemon, so that a client nobody closed does not hold up the interpreter's exit. In a forked child, where the
thread is not, the first call begins another.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import anyio.to_thread

from turso_hooks.drivers.private_loop import PrivateLoop, is_in_running_loop

_T = TypeVar("_T")

_inherited: list[asyncio.AbstractEventLoop] = []
"""Loops of the parent of a forked child: kept, so that nothing of them is tidied up here."""


class LoopThread:
    """The loop; its thread is started by the first call, and again after `stop`. Safe to use from any thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process_id = 0
        self._lock = threading.Lock()

    @property
    def is_running(self) -> bool:
        """Whether there is such a thread in this process."""
        return self._loop is not None and self._process_id == os.getpid()

    async def run(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run a coroutine there and give back what it gives; cancelling this cancels that."""
        future = self.start(work)
        if is_in_running_loop():
            return await asyncio.wrap_future(future)
        try:
            return await anyio.to_thread.run_sync(future.result, abandon_on_cancel=True)
        finally:
            future.cancel()  # if nobody waits any more; one that is done stays what it is

    def start(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> Future[_T]:
        """Begin a coroutine there, without waiting for it."""
        if self._process_id not in {0, os.getpid()}:
            self._begin_anew()
        with self._lock:  # so that `stop` comes before it or after it, and then cancels it
            return asyncio.run_coroutine_threadsafe(work(), self._running_loop())

    def stop(self) -> None:
        """End the loop and its thread; what is still under way there is cancelled."""
        if self._process_id not in {0, os.getpid()}:
            return  # the parent's
        with self._lock:
            loop, self._loop = self._loop, None
            if loop is not None:
                loop.call_soon_threadsafe(loop.stop)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = PrivateLoop()
            self._process_id = os.getpid()
            threading.Thread(target=_run, args=(self._loop,), name="turso-hooks client", daemon=True).start()
        return self._loop

    def _begin_anew(self) -> None:
        """In a forked child: the thread is not here, and its lock may have been held."""
        if self._loop is not None:
            _inherited.append(self._loop)
        self._loop, self._lock, self._process_id = None, threading.Lock(), 0


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    loop.run_until_complete(_finished(left))
    loop.close()


async def _finished(tasks: set[asyncio.Task[Any]]) -> None:
    waiting: list[Awaitable[Any]] = [*tasks]
    await asyncio.gather(*waiting, return_exceptions=True)
