"""`tail`, `tools` and `sql`: what was logged last, tool calls, and whatever else one may ask."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from typing import Any

import click

from turso_hooks.cli.options import database_option, json_lines_option, json_option, print_json, print_json_line, settings_for
from turso_hooks.cli.reading.completing import complete_session
from turso_hooks.cli.reading.filtering import filter_options, given
from turso_hooks.cli.reading.following import follow
from turso_hooks.cli.reading.outline import print_json_entry
from turso_hooks.cli.text import is_terminal, one_line
from turso_hooks.query import Message, Tail, ToolCall, connect_sync

_SHOWN_CHARS = 200
_MOST_CALLS = 10_000


@click.command("tail")
@click.argument("session_id", required=False, shell_complete=complete_session)
@database_option
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on with what is logged, until Ctrl-C.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many to begin with.")
@filter_options
@json_lines_option
def tail_command(  # its options
    session_id: str | None, database_url: str | None, follows: bool, limit: int, as_json_lines: bool, **filters: Any
) -> None:
    """Show the messages and tool calls that were logged last, of SESSION_ID or of all.

    A tool call that was running comes once more when it is over.

    In a pipe: one a line, fields separated by tabs: time, session, agent, role or tool, what was said.
    """
    with connect_sync(settings_for(database_url).database_url) as reader:
        tail = reader.tail(session_id, limit=limit, **given(filters))
        _print(tail, as_json_lines=as_json_lines)
        if not follows:
            return
        try:
            for more in follow(reader, session_id, tail.cursor, given(filters)):
                _print(more, as_json_lines=as_json_lines)
        except KeyboardInterrupt:
            return


def _print(tail: Tail, *, as_json_lines: bool) -> None:
    if as_json_lines:
        for entry in tail.entries:
            print_json_entry(entry)
    elif is_terminal():
        from turso_hooks.cli.reading.tables import show_entry  # noqa: PLC0415  # rich costs 50 ms, and is wanted on terminals only

        for entry in tail.entries:
            show_entry(entry, _agent_of(entry, tail), *_said(entry))
    else:
        for entry in tail.entries:
            moment = entry.occurred_at.isoformat() if entry.occurred_at else ""
            click.echo("\t".join(map(one_line, (moment, entry.session_id, _agent_of(entry, tail), *_said(entry)))))


def _agent_of(entry: Message | ToolCall, tail: Tail) -> str:
    session = tail.sessions.get(entry.session_id)
    return session.agent_type if session else ""


def _said(entry: Message | ToolCall) -> tuple[str, str]:
    """Who says something, and what, or the beginning of it."""
    if isinstance(entry, Message):
        return entry.role, (entry.content or "")[:_SHOWN_CHARS]
    what = entry.error or (entry.output if entry.output is not None else entry.input)
    return f"{entry.tool_name} {entry.status}", _beginning(what)


def _beginning(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))[:_SHOWN_CHARS]


@click.command("tools")
@click.argument("session_id", required=False, shell_complete=complete_session)
@database_option
@click.option("--tool", "tool_name", metavar="NAME", help="Only of this tool.")
@click.option(
    "--tool-status", type=click.Choice(("running", "completed", "error", "cancelled")), help="Only those that ended so."
)
@click.option("--limit", type=click.IntRange(1, _MOST_CALLS), default=50, show_default=True, help="The most to list.")
@click.option("--cursor", help="Go on from a next_cursor of --json.")
@filter_options
@json_option
@json_lines_option
def tools_command(  # noqa: PLR0913, PLR0917  # its options
    session_id: str | None,
    database_url: str | None,
    tool_name: str | None,
    tool_status: str | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
    as_json_lines: bool,
    **filters: Any,
) -> None:
    """List tool calls: of SESSION_ID in their order, or of all sessions, those that were logged last first.

    In a pipe: one a line, fields separated by tabs: time, session, tool, status, milliseconds, input, error.
    """
    with connect_sync(settings_for(database_url).database_url) as reader:
        page = reader.tool_calls(
            session_id, tool_name=tool_name, tool_status=tool_status, limit=limit, cursor=cursor, **given(filters)
        )
    if as_json:
        print_json({"tool_calls": list(page), "next_cursor": page.next_cursor})
        return
    if not page:
        click.echo("no tool call matches", err=True)
    elif as_json_lines:
        for call in page:
            print_json_line(call)
    elif is_terminal():
        from turso_hooks.cli.reading.tables import show_tool_calls  # noqa: PLC0415  # rich costs 50 ms

        show_tool_calls([(call, _beginning(call.input)) for call in page])
    else:
        for call in page:
            took = "" if call.duration_ms is None else str(call.duration_ms)
            moment = call.occurred_at.isoformat() if call.occurred_at else ""
            fields = (moment, call.session_id, call.tool_name, call.status, took, _beginning(call.input), call.error or "")
            click.echo("\t".join(map(one_line, fields)))


@click.command("sql")
@click.argument("sql")
@click.argument("arguments", nargs=-1)
@database_option
@json_option
@json_lines_option
def sql_command(sql: str, arguments: tuple[str, ...], database_url: str | None, as_json: bool, as_json_lines: bool) -> None:
    """Run a query in SQL; ARGUMENTS stand for its question marks, as text.

    A file is opened so that nothing can write to it. A server obeys, if its token may. In a pipe: a line of names, then one row
    a line, fields separated by tabs.
    """
    with connect_sync(settings_for(database_url).database_url) as reader:
        result = reader.sql(sql, arguments)
    if as_json or as_json_lines:
        names = _different(result.columns)
        rows = [dict(zip(names, map(_plain, row), strict=True)) for row in result.rows]
        for row in rows if as_json_lines else ():
            print_json_line(row)
        if as_json:
            print_json(rows)
        return
    cells = [["" if value is None else one_line(_plain(value)) for value in row] for row in result.rows]
    if is_terminal():
        from turso_hooks.cli.reading.tables import show_table  # noqa: PLC0415  # rich costs 50 ms, and is wanted on terminals only

        show_table(result.columns, cells)
        return
    for line in ([one_line(name) for name in result.columns], *cells):
        click.echo("\t".join(line))


def _different(columns: Sequence[str]) -> list[str]:
    """Names of columns, those that were there before with a number: an object has each once."""
    names: list[str] = []
    for column in columns:
        others = (f"{column}_{n}" for n in count(2))
        names.append(column if column not in names else next(name for name in others if name not in names))
    return names


def _plain(value: Any) -> Any:
    """A value as text and JSON have it: bytes as hexadecimal."""
    return value.hex() if isinstance(value, bytes) else value
