"""Clients of libsql-client's kind: real `libsql_client.Client` objects, for whoever wants to ask the database by hand.

`embedded` is for files, `http` for SQL over HTTP, `mapped` puts libsql-client's own, for WebSockets, behind errors of ours. All
serve asyncio and trio: `embedded` on worker threads, the others on a thread with an event loop (`loop_thread`). `pipeline` is
what `http` asks through, `results` are arguments and results in libsql-client's form, `opening` chooses.

Importing this package imports libsql_client, and with it aiohttp (275 ms).
"""

from __future__ import annotations

from turso_hooks.drivers.clients.opening import create_client, websocket_client

__all__ = ["create_client", "websocket_client"]
