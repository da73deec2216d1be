"""libsql-client by itself: an event is one awaited INSERT by `client.execute`, to a file (made with WAL) or over HTTP."""

from __future__ import annotations

from pathlib import Path

import libsql_client

from benchmarks.peers.tools.floors import INSERT, database_with_events
from benchmarks.peers.work import DATABASE, Event, Tool


class Peer(Tool):
    def __init__(self, folder: Path, url: str | None) -> None:
        if url is None:
            database_with_events(folder).close()
        self._client = libsql_client.create_client(url or f"file:{folder / DATABASE}")

    async def log(self, item: Event) -> None:
        await self._client.execute(INSERT, item)

    async def close(self) -> None:
        await self._client.close()
