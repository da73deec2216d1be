"""`search`: what is found by words."""

from __future__ import annotations

from typing import Any

import click

from turso_hooks.cli.options import (
    database_option,
    json_lines_option,
    json_option,
    print_json,
    print_json_line,
    settings_for,
)
from turso_hooks.cli.reading.completing import complete_session
from turso_hooks.cli.reading.filtering import filter_options, given
from turso_hooks.cli.text import is_terminal, one_line, when
from turso_hooks.query import Found, Hit, connect_sync
from turso_hooks.query.search import KINDS, ORDERS


@click.command("search", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@database_option
@click.option("--order", type=click.Choice(ORDERS), default="newest", show_default=True, help="What comes first.")
@click.option("--kind", type=click.Choice(KINDS), help="Only what is of this kind.")
@click.option(
    "--session",
    "session_id",
    metavar="SESSION_ID",
    shell_complete=complete_session,
    help="Only in this session; the beginning of its id is enough.",
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="The most to show.")
@click.option("--cursor", help="Go on from a next_cursor of --json.")
@filter_options
@json_option
@json_lines_option
def search_command(  # noqa: PLR0913, PLR0917  # its options
    words: tuple[str, ...],
    database_url: str | None,
    order: str,
    kind: str | None,
    session_id: str | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
    as_json_lines: bool,
    **filters: Any,
) -> None:
    """Find words in messages, in what tools are called with and print, in titles and errors.

    All WORDS must be there. '"In quotes"' they stand next to each other, begin* is the beginning of one, OR means one of two,
    NOT that it is not there; parentheses hold together. Of a tool's output the first 4,096 characters are searched.

    In a pipe: one match a line, fields separated by tabs: session, time, kind, role or tool, what was found.
    """
    with connect_sync(settings_for(database_url).database_url) as reader:
        found = reader.search(
            " ".join(words), order=order, kind=kind, session_id=session_id, limit=limit, cursor=cursor, **given(filters)
        )
    if as_json:
        print_json(found)
        return
    if as_json_lines:
        for hit in found.hits:
            print_json_line(hit)
    elif is_terminal():
        from turso_hooks.cli.reading.tables import show_hits  # noqa: PLC0415  # rich costs 50 ms, and is wanted on terminals only

        show_hits(found.hits)
    else:
        for hit in found.hits:
            click.echo(_line(hit))
    _say_how_far(found)


def _line(hit: Hit) -> str:
    moment = hit.occurred_at.isoformat() if hit.occurred_at else ""
    snippet = "".join(piece.text for piece in hit.snippet)
    return "\t".join(one_line(field) for field in (hit.session_id, moment, hit.kind, hit.role or hit.tool_name or "", snippet))


def _say_how_far(found: Found) -> None:
    if not found.hits:
        click.echo("nothing was found", err=True)
    if not found.is_whole:
        until = f", back to {when(found.looked_back_to)}" if found.looked_back_to else ""
        what = "matches" if found.has_index else "rows"
        click.echo(f"the newest {found.looked_at:,} {what} were looked at{until}; there are more", err=True)
