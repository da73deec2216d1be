"""An event loop for clients that know asyncio only, made to live in other people's programs.

It waits by poll(2): what epoll waits for is shared with forked children, and a child that tidies up would take it from its
parent. Names are resolved on daemon threads: asyncio's executor has Python wait for it at exit, however long a name server
takes, and takes no work any more once the exit has begun. What clients nobody closed have to say at exit is not said.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

_T = TypeVar("_T")


class PrivateLoop(asyncio.SelectorEventLoop):
    """The loop; to be run by one thread, as any."""

    def __init__(self) -> None:
        super().__init__(selectors.PollSelector())
        self.set_exception_handler(lambda *_: None)

    def run_here(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run until `work` is done, in a thread that runs a loop already too, which waits meanwhile."""
        if not is_in_running_loop():
            return self.run_until_complete(work())
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: self.run_until_complete(work())).result()

    async def getaddrinfo(  # noqa: PLR0913  # as asyncio has it
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002  # the same
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """As `socket.getaddrinfo`, which nobody can interrupt: who is cancelled leaves it to itself."""
        found: asyncio.Future[Any] = self.create_future()

        def resolve() -> None:
            try:
                addresses: Any = socket.getaddrinfo(host, port, family, type, proto, flags)
            except (OSError, UnicodeError) as error:
                addresses = error
            with suppress(RuntimeError):  # the loop is closed
                self.call_soon_threadsafe(_settle, found, addresses)

        try:
            threading.Thread(target=resolve, daemon=True).start()
        except RuntimeError:  # from Python 3.12 on no thread is started once the interpreter ends
            resolve()
        return await found


def is_in_running_loop() -> bool:
    """Whether this thread runs an event loop of asyncio's just now."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _settle(found: asyncio.Future[Any], addresses: Any) -> None:
    if found.done():
        return
    if isinstance(addresses, BaseException):
        found.set_exception(addresses)
    else:
        found.set_result(addresses)
