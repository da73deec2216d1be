"""Lists for people and for other programs: sessions, rows, what was found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from turso_hooks.cli.reading.columns import COLUMNS
from turso_hooks.cli.reading.conversation import indented, render_status
from turso_hooks.cli.reading.outline import shortened
from turso_hooks.cli.reading.printing import show
from turso_hooks.cli.text import one_line, when
from turso_hooks.query import Hit, Message, SessionSummary, ToolCall

_SHORTEST_BEGINNING = 12
"""Characters of a session's id in a table; of our own ids these are the millisecond."""

_WIDEST_BEGINNING = 20
"""Columns; what is longer goes on in the next line, for cut it would name nothing."""

_COUNTS_FROM_COLUMNS = 100
"""In a narrower terminal the title is the more wanted."""

_CELL_CHARS = 1000
"""More is on no terminal's line."""

_WIDE = {"agent", "model", "provider", "project", "user", "runner", "error", "title"}
"""Where there is not room for all, the widest of these is narrowed first; their texts are cut then."""


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, are_numbers: bool = False) -> None:
    """Print rows of text under the names of their columns; all but the first may be numbers."""
    table = _table()
    for n, column in enumerate(columns):
        is_number = are_numbers and n > 0
        table.add_column(
            Text(one_line(shortened(column))),
            overflow="ellipsis",
            justify="right" if is_number else "left",
            no_wrap=is_number,
        )
    for row in rows:
        table.add_row(*(Text(shortened(cell, _CELL_CHARS)) for cell in row))
    show([table])


def show_sessions(sessions: Sequence[SessionSummary], columns: Sequence[str] | None) -> None:
    """Print sessions, one a line, with these columns or those that there is room for."""
    if columns is None:
        counts = ("messages", "tools") if Console().width >= _COUNTS_FROM_COLUMNS else ()
        columns = ("started", "session", "agent", "model", "status", *counts, "title")
    table = _table()
    for column in columns:
        table.add_column(
            column,
            no_wrap=column not in _WIDE,
            max_width=_WIDEST_BEGINNING if column == "session" else None,
            justify="right" if column in {"messages", "tools"} else "left",
        )
    beginnings = _beginnings([session.session_id for session in sessions])
    for session, beginning in zip(sessions, beginnings, strict=True):
        table.add_row(*(_cell(column, session, beginning) for column in columns))
    show([table])


def show_tool_calls(calls: Sequence[tuple[ToolCall, str]]) -> None:
    """Print tool calls, each with what it was called with, one a line."""
    table = _table()
    for column in ("when", "session", "tool", "status", "ms"):
        table.add_column(column, no_wrap=True, justify="right" if column == "ms" else "left")
    table.add_column("input and error")
    session_ids = list(dict.fromkeys(call.session_id for call, _ in calls))
    beginnings = dict(zip(session_ids, _beginnings(session_ids), strict=True))
    for call, called_with in calls:
        told = Text(one_line(called_with), no_wrap=True, overflow="ellipsis")
        if call.error:
            told.append(f"  {one_line(shortened(call.error))}", style="red")
        table.add_row(
            Text(when(call.occurred_at)),
            Text(one_line(shortened(beginnings[call.session_id], _WIDEST_BEGINNING))),
            Text(one_line(shortened(call.tool_name)), style="bold yellow"),
            render_status(call.status),
            "" if call.duration_ms is None else f"{call.duration_ms:,}",
            told,
        )
    show([table])


def show_entry(entry: Message | ToolCall, agent_type: str, who: str, what: str) -> None:
    """Print something that was logged in a line."""
    line = Text(f"{when(entry.occurred_at)}  ", style="dim", no_wrap=True, overflow="ellipsis")
    line.append(one_line(shortened(entry.session_id, _SHORTEST_BEGINNING)), style="cyan")
    line.append(f"  {one_line(shortened(agent_type))}  ")
    line.append(one_line(shortened(who)), style="bold")
    line.append(f"  {one_line(what)}", style="not dim")
    show([Group(line)], is_paged=False)  # a text alone is joined to others, and breaks then


def show_hits(hits: Sequence[Hit]) -> None:
    """Print what was found."""
    show(map(_hit, hits))


def _table() -> Table:
    return Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")


def _cell(column: str, session: SessionSummary, beginning: str) -> Text:
    value = COLUMNS[column](session)
    if column == "session":
        return Text(one_line(beginning), no_wrap=False, overflow="fold")
    if column == "status":
        return render_status(session.status)
    if isinstance(value, datetime):
        return Text(f"{when(value):.16}")
    if isinstance(value, int):
        return Text(f"{value:,}")
    return Text(one_line(shortened(value or "", _CELL_CHARS)), no_wrap=True, overflow="ellipsis")


def _beginnings(session_ids: list[str]) -> list[str]:
    """Of each id a beginning that no other one has, and of `_SHORTEST_BEGINNING` characters at least."""
    ordered = sorted(session_id[:_CELL_CHARS] for session_id in session_ids)
    shared = [_shared_chars(*pair) for pair in pairwise(ordered)]
    needed = zip(ordered, [0, *shared], [*shared, 0], strict=True)
    lengths = {one: max(_SHORTEST_BEGINNING, before + 1, after + 1) for one, before, after in needed}
    return [one[: lengths[one[:_CELL_CHARS]]] for one in session_ids]


def _shared_chars(one: str, other: str) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _hit(hit: Hit) -> RenderableType:
    """Something that was found, in two lines: where it is, and what of it."""
    names = [hit.kind.replace("_", " "), hit.role or hit.tool_name, hit.agent_type, hit.session_title]
    where = Text(f"{when(hit.occurred_at)}  ", style="dim").append(one_line(hit.session_id), style="cyan")
    where.append(f"  {one_line(' · '.join(shortened(name) for name in names if name))}", style="dim")
    what = Text()
    for piece in hit.snippet:
        what.append(one_line(piece.text), style="bold yellow" if piece.is_match else "")
    return Group(where, indented(what), Text())
