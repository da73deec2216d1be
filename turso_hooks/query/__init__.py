"""Finding it again: what was logged is listed, read, searched. Read-only, frozen results, times in UTC, JSON decoded.

    from turso_hooks.query import connect_sync

    with connect_sync("file:agents.db") as reader:
        for session in reader.list_sessions(model="claude-*", status="error"):
            print(session.session_id, session.title)
        for hit in reader.search('"connection refused" -retry').hits:
            print(hit.session_id, "".join(piece.text for piece in hit.snippet))

`connect` gives the same to be awaited, on asyncio and on trio. `reader` is what is asked, `filters` which sessions are meant,
`pages` how results go on; `sessions`, `entries`, `search` and `stats` answer, by `asking` the database; `rows` makes `results`
of what comes back.
"""

from __future__ import annotations

from turso_hooks.query.asynchronous import AsyncReader, connect
from turso_hooks.query.filters import Filters, SessionFilters
from turso_hooks.query.pages import Page
from turso_hooks.query.reader import Reader, connect_sync
from turso_hooks.query.results import (
    Conversation,
    Found,
    Hit,
    Message,
    ModelCall,
    Note,
    Piece,
    SessionSummary,
    SessionTree,
    SqlResult,
    Tail,
    ToolCall,
    Totals,
)
from turso_hooks.query.stats import Durations, Numbers, Stats

__all__ = [
    "AsyncReader",
    "Conversation",
    "Durations",
    "Filters",
    "Found",
    "Hit",
    "Message",
    "ModelCall",
    "Note",
    "Numbers",
    "Page",
    "Piece",
    "Reader",
    "SessionFilters",
    "SessionSummary",
    "SessionTree",
    "SqlResult",
    "Stats",
    "Tail",
    "ToolCall",
    "Totals",
    "connect",
    "connect_sync",
]
