"""Arguments and results as libsql-client has them, for its clients of ours."""

from __future__ import annotations

from typing import Any

import libsql_client

from turso_hooks.drivers.database import Rows


def arguments_of(arguments: Any) -> list[Any] | dict[str, Any]:
    """The arguments of a statement as drivers take them; names without the character that marks them in SQL."""
    if isinstance(arguments, dict):
        return {name.lstrip(":@$"): _value(value) for name, value in arguments.items()}
    return [_value(value) for value in arguments or ()]


def result_set(rows: Rows) -> libsql_client.ResultSet:
    """Rows as libsql-client gives them."""
    positions = {name: position for position, name in enumerate(rows.columns)}
    found = [libsql_client.Row(positions, row) for row in rows.rows]
    return libsql_client.ResultSet(rows.columns, found, rows.changes, rows.last_row_id)


def _value(value: Any) -> Any:
    """As libsql-client binds it: a datetime as milliseconds since 1970, a boolean as 0 or 1."""
    timestamp = getattr(value, "timestamp", None)
    if callable(timestamp):
        return int(timestamp() * 1000)
    return int(value) if isinstance(value, bool) else value
