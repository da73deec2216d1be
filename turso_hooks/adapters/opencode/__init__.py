"""OpenCode, logged: whatever happens on one of its servers, whoever talks to it.

    from turso_hooks.adapters.opencode import watch

    async with watch("http://127.0.0.1:4096"):
        ...

Everything goes to the hooks of this process's plugin manager (`get_plugin_manager()`), on asyncio and on trio. What was on the
server before is logged too, and what happens while the connection is down is read when it is back: it becomes the same rows.
Needs the extra `opencode`; made for version 1.18 of OpenCode.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import anyio

from turso_hooks.adapters.opencode.server import USERNAME, OpenCodeServer
from turso_hooks.adapters.opencode.watching import Watcher
from turso_hooks.errors import AgentServerError
from turso_hooks.manager import get_plugin_manager
from turso_hooks.plugin import recorder
from turso_hooks.shipping import warn_once
from turso_hooks.transcripts.opencode import Progress

__all__ = ["USERNAME", "OpenCodeServer", "Watcher", "watch"]


@asynccontextmanager
async def watch(
    base_url: str, *, username: str = USERNAME, password: str | None = None, since: datetime | None = None
) -> AsyncIterator[Watcher]:
    """Log what happens on the server at `base_url`, as long as this context lasts.

    `password` is what the server was started with as `OPENCODE_SERVER_PASSWORD`. Of sessions that are there already those are
    read that changed since `since` (local time if it has no zone); all of them, if it is None.

    A server that cannot be reached is tried again, at longer and longer intervals up to ten seconds; one that refuses the
    password is not. Both are logged once, and nothing is raised into the body: it does not depend on its log. To wait until
    what was there is logged: `await watcher.caught_up.wait()`. At the end what has changed is read once more, for three seconds
    at most. Raises `AgentServerError` if `base_url` is none; what the body raises goes through as it is.
    """
    failure: BaseException | None = None
    progress = Progress(since.astimezone() if since is not None else None)
    async with OpenCodeServer(base_url, username=username, password=password) as server:
        watcher = Watcher(server, get_plugin_manager().emit, recorder.count, progress=progress, tell=_tell)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_run, watcher)
                try:
                    yield watcher
                except anyio.get_cancelled_exc_class():
                    raise
                except BaseException as error:  # noqa: BLE001  # raised from within the task group it would come out as a group
                    failure = error
                group.cancel_scope.cancel()
        finally:
            await watcher.finish()
    if failure is not None:
        raise failure


async def _run(watcher: Watcher) -> None:
    try:
        await watcher.run()
    except AgentServerError as error:
        _tell(str(error))


def _tell(trouble: str | None) -> None:
    if trouble is not None:
        warn_once(f"opencode:{trouble}", "OpenCode is not logged until that is mended: %s", trouble)
