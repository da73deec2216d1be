"""What speaks to databases: URLs, the drivers behind one blocking face, and clients of libsql-client's kind.

`urls` reads database URLs. `database` is the blocking face that the rest of the package uses; `opening` chooses who has it:

- `embedded` for SQLite files (`filesystems` tells those on which it cannot be),
- `server` for SQL over HTTP: `hrana` its messages, `bulk` many rows in few of them, `http` and `sockets` its connection,
  `access` its token,
- `foreign` for any client of libsql-client's kind.

`client` is the async seam (`Client`) that libsql-client's clients fit, `clients` makes such; that package is imported only when
one is asked for, because libsql-client brings aiohttp and costs a quarter of a second. `probing` tries the way to a server.

Carries rows and knows no events. Everything an engine (`meanings`) or a network (`faults`) says is mapped here, once, to
`errors.DatabaseError`.
"""

from __future__ import annotations

from turso_hooks.drivers.client import Client
from turso_hooks.drivers.database import Bulk, Database, Rows, Statement
from turso_hooks.drivers.embedded import EmbeddedDatabase
from turso_hooks.drivers.opening import open_database
from turso_hooks.drivers.urls import DatabaseTarget, parse_database_url, target_of_name

__all__ = [
    "Bulk",
    "Client",
    "Database",
    "DatabaseTarget",
    "EmbeddedDatabase",
    "Rows",
    "Statement",
    "open_database",
    "parse_database_url",
    "target_of_name",
]
