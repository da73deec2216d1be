"""Rows: what events become, and how a row that arrives and one that is there become one. Pure.

`mapping` turns events into rows: what stands in a column as JSON is `json_text`, what is too large for one goes to `payloads`.
`tables` says which columns there are, `merging` how they merge, `precedence` which of two claims wins.
"""

from __future__ import annotations

from turso_hooks.store.rows.json_text import to_json
from turso_hooks.store.rows.mapping import Row, row_of
from turso_hooks.store.rows.merging import UNKNOWN, in_json
from turso_hooks.store.rows.payloads import is_shown_of
from turso_hooks.store.rows.precedence import Key, deciding_key, read_key
from turso_hooks.store.rows.tables import BULK_SESSION_SEEN, SESSION_SEEN, SESSIONS, TABLES

__all__ = [
    "BULK_SESSION_SEEN",
    "SESSIONS",
    "SESSION_SEEN",
    "TABLES",
    "UNKNOWN",
    "Key",
    "Row",
    "deciding_key",
    "in_json",
    "is_shown_of",
    "read_key",
    "row_of",
    "to_json",
]
