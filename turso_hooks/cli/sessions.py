"""`sessions` and `show`: reading."""

from __future__ import annotations

import click

from turso_hooks.cli.options import database_option, json_option, print_json, settings_for
from turso_hooks.cli.text import is_terminal
from turso_hooks.query import Conversation, connect_sync

_MOST = 1_000_000_000
"""More than anybody lists; the engines count to 2**63."""


@click.command("sessions")
@database_option
@click.option("--limit", type=click.IntRange(1, _MOST), default=50, show_default=True, help="The most to list.")
@json_option
def sessions_command(database_url: str | None, limit: int, as_json: bool) -> None:
    """List conversations, newest first.

    In a pipe: one a line, fields separated by tabs: id, start, agent, model, status, messages, tool calls, title.
    """
    with connect_sync(settings_for(database_url).database_url) as reader:
        sessions = reader.list_sessions(limit=limit)
    if as_json:
        print_json(sessions)
        return
    from turso_hooks.cli import render  # noqa: PLC0415  # rich costs 50 ms and --json does without

    if not sessions:
        click.echo("no conversation has been logged yet; to make one: turso-hooks demo", err=True)
    elif is_terminal():
        render.show_sessions(sessions)
    else:
        for session in sessions:
            click.echo(render.session_line(session))


@click.command("show")
@click.argument("session_id")
@database_option
@click.option("--full", "is_whole", is_flag=True, help="Show long inputs and outputs of tools to their end.")
@json_option
def show_command(session_id: str, database_url: str | None, is_whole: bool, as_json: bool) -> None:
    """Show one conversation. The beginning of SESSION_ID is enough."""
    with connect_sync(settings_for(database_url).database_url) as reader:
        conversation = reader.get_session(session_id)
    if as_json:
        print_json(conversation)
    else:
        print_conversation(conversation, is_whole=is_whole)


def print_conversation(conversation: Conversation, *, is_whole: bool) -> None:
    """Print a conversation for people."""
    from turso_hooks.cli import render  # noqa: PLC0415  # rich costs 50 ms and --json does without

    render.show(render.render_conversation(conversation, is_whole=is_whole))
