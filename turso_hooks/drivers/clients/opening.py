"""Which client serves which database."""

from __future__ import annotations

from functools import partial
from typing import Any

import aiohttp
import libsql_client

from turso_hooks.drivers.access import Access, access_to
from turso_hooks.drivers.clients.embedded import EmbeddedClient
from turso_hooks.drivers.clients.http import HttpClient
from turso_hooks.drivers.clients.mapped import MappedClient
from turso_hooks.drivers.faults import Operation, refused_request
from turso_hooks.drivers.urls import DatabaseTarget
from turso_hooks.errors import DatabaseUnusable


def create_client(
    target: DatabaseTarget, auth_token: str | None = None, *, timeout_s: float = 30.0, allows_unencrypted: bool = False
) -> libsql_client.Client:
    """A client for the database; nothing is opened before it is used. What is not for a file, see `drivers.open_database`."""
    if target.path is not None:
        return EmbeddedClient(target.path)
    access = access_to(target, auth_token, allows_unencrypted=allows_unencrypted)
    if access.server.scheme in {"http", "https"}:
        return HttpClient(target, access, timeout_s=timeout_s)
    connect = partial(websocket_client, target, access)
    return MappedClient(target.name, connect, timeout_s=timeout_s, operation=access.operation)


def websocket_client(target: DatabaseTarget, access: Access) -> libsql_client.Client:
    """libsql-client's own client, as it is, for the event loop that runs now. Raises `DatabaseUnusable`."""
    operation = access.operation("make a client", target.name)
    access.check(operation)
    try:
        client = libsql_client.create_client(access.server.url, auth_token=access.token)
    except libsql_client.LibsqlError as error:
        raise operation.failed(DatabaseUnusable, str(error)) from None
    _follow_no_redirect(client, operation)
    return client


def _follow_no_redirect(client: Any, operation: Operation) -> None:
    """Before the client says anything: it would send the token to wherever the handshake ends, and cannot be told not to."""

    async def refuse(_session: object, _context: object, parameters: Any) -> None:
        raise refused_request(operation, parameters.response.status, {"location": parameters.response.headers["Location"]}, b"")

    redirected = aiohttp.TraceConfig()
    redirected.on_request_redirect.append(refuse)
    redirected.freeze()
    client._session._trace_configs.append(redirected)  # noqa: SLF001  # neither library has a public way
