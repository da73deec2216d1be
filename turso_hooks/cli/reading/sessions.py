"""`sessions`: the list of conversations."""

from __future__ import annotations

from typing import Any

import click

from turso_hooks.cli.options import database_option, json_lines_option, json_option, print_json, print_json_line, settings_for
from turso_hooks.cli.reading.columns import COLUMNS, IN_A_PIPE, Columns, session_line
from turso_hooks.cli.reading.filtering import filter_options, given
from turso_hooks.cli.text import is_terminal
from turso_hooks.query import Reader, SessionFilters, SessionSummary, connect_sync
from turso_hooks.query.pages import MOST_ON_A_PAGE
from turso_hooks.query.sessions import ORDERS


@click.command("sessions")
@database_option
@click.option("--limit", type=click.IntRange(1, 10**9), default=50, show_default=True, help="The most to list.")
@click.option(
    "--order",
    type=click.Choice(tuple(ORDERS)),
    default="started",
    show_default=True,
    help="Newest by their start, or by their last activity.",
)
@click.option("--text", metavar="WORDS", help="That contain these words; see turso-hooks search.")
@click.option("--columns", type=Columns(), metavar="A,B", help=f"Which to print: {', '.join(COLUMNS)}.")
@click.option("--reverse", is_flag=True, help="Print them the other way round.")
@filter_options
@json_option
@json_lines_option
def sessions_command(  # noqa: PLR0913, PLR0917  # its options
    database_url: str | None,
    limit: int,
    order: str,
    text: str | None,
    columns: tuple[str, ...] | None,
    reverse: bool,
    as_json: bool,
    as_json_lines: bool,
    **filters: Any,
) -> None:
    """List conversations, newest first.

    In what options name, a * stands for anything: --model 'claude-*'.

    In a pipe: one a line, fields separated by tabs: id, start, agent, model, status, messages, tool calls, title.
    """
    with connect_sync(settings_for(database_url).database_url) as reader:
        sessions = _sessions(reader, order, limit, {**given(filters), **({"text": text} if text is not None else {})})
    if reverse:
        sessions.reverse()
    if as_json:
        print_json(sessions)
    elif as_json_lines:
        for session in sessions:
            print_json_line(session)
    elif not sessions and (text is not None or given(filters)):
        click.echo("no conversation matches", err=True)
    elif not sessions:
        click.echo("no conversation has been logged yet; to make one: turso-hooks demo", err=True)
    elif is_terminal():
        from turso_hooks.cli.reading.tables import show_sessions  # noqa: PLC0415  # rich costs 50 ms and is wanted on terminals only

        show_sessions(sessions, columns)
    else:
        for session in sessions:
            click.echo(session_line(session, columns or IN_A_PIPE))


def _sessions(reader: Reader, order: str, limit: int, filters: SessionFilters) -> list[SessionSummary]:
    """As many as are wanted, page by page."""
    found: list[SessionSummary] = []
    cursor: str | None = None
    while len(found) < limit:
        page = reader.list_sessions(order=order, limit=min(limit - len(found), MOST_ON_A_PAGE), cursor=cursor, **filters)
        found += page
        cursor = page.next_cursor
        if cursor is None:
            break
    return found
