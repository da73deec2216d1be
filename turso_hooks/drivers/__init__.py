"""What speaks to databases: URLs, the embedded SQLite driver, and clients of libsql-client's kind.

`urls` reads database URLs, `embedded` is the standard library's sqlite3 behind a small blocking face, `client` the async seam
(`Client`) that libsql-client's clients fit. `libsql` makes real `libsql_client.Client` objects; it is imported only when one
is asked for, because libsql-client brings aiohttp and costs a quarter of a second.

Carries rows and knows no events. Everything an engine or network says is mapped here, once, to `errors.DatabaseError`.
"""

from __future__ import annotations

from turso_hooks.drivers.client import Client
from turso_hooks.drivers.embedded import EmbeddedDatabase, Rows, Statement
from turso_hooks.drivers.urls import DatabaseTarget, parse_database_url, target_of_name

__all__ = ["Client", "DatabaseTarget", "EmbeddedDatabase", "Rows", "Statement", "parse_database_url", "target_of_name"]
