"""Which driver opens which database."""

from __future__ import annotations

from functools import partial

from turso_hooks import forking
from turso_hooks.drivers.access import Access, access_to
from turso_hooks.drivers.client import Client
from turso_hooks.drivers.database import Database
from turso_hooks.drivers.embedded import EmbeddedDatabase
from turso_hooks.drivers.server import ServerDatabase
from turso_hooks.drivers.urls import DatabaseTarget


def open_database(  # noqa: PLR0913  # what the drivers need to know, each its own part
    target: DatabaseTarget,
    *,
    auth_token: str | None = None,
    read_only: bool = False,
    busy_timeout_s: float = 5.0,
    request_timeout_s: float = 30.0,
    allows_unencrypted: bool = False,
) -> Database:
    """The database of a target; nothing is opened before it is used.

    `read_only` and `busy_timeout_s` (waiting for another program's lock) hold for files, the others for servers: of a server
    only the token says whether it may be written to. A token in the target's URL wins over `auth_token`.
    """
    if target.path is not None:
        return EmbeddedDatabase(target.path, read_only=read_only, busy_timeout_s=busy_timeout_s)
    access = access_to(target, auth_token, allows_unencrypted=allows_unencrypted)
    if access.server.scheme in {"http", "https"}:
        return ServerDatabase(target, access, timeout_s=request_timeout_s)
    with forking.importing():
        from turso_hooks.drivers.foreign import ClientDatabase  # noqa: PLC0415  # brings asyncio, 40 ms

    connect = partial(_websocket_client, target, access)
    return ClientDatabase(target.name, connect, timeout_s=request_timeout_s, operation=access.operation)


def _websocket_client(target: DatabaseTarget, access: Access) -> Client:
    with forking.importing():
        from turso_hooks.drivers.clients import websocket_client  # noqa: PLC0415  # brings aiohttp, 275 ms

    return websocket_client(target, access)
