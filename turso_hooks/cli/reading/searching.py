"""`search` and `reindex`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from turso_hooks.cli.options import (
    database_option,
    json_lines_option,
    json_option,
    prepared,
    print_json,
    print_json_line,
    settings_for,
    shown_url,
)
from turso_hooks.cli.reading.completing import complete_session
from turso_hooks.cli.reading.filtering import filter_options, given
from turso_hooks.cli.text import is_terminal, one_line, plural, when
from turso_hooks.errors import DatabaseUnavailable, DatabaseUnusable
from turso_hooks.query import Found, Hit, connect_sync
from turso_hooks.query.search.searching import KINDS, ORDERS
from turso_hooks.store import SearchIndex, open_store

_MOST_FAILURES = 5
"""In a row: the database may be busy, or may not do so much at once."""


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


@click.command("reindex")
@database_option
@click.option("--anew", is_flag=True, help="Empty the index first.")
@json_option
def reindex_command(database_url: str | None, anew: bool, as_json: bool) -> None:
    """Bring into the search index what is not there yet: what was logged before there was one, or by another program.

    Some thousand rows at a time, so that others can write in between; it may be stopped and called again.
    """
    settings = settings_for(database_url)
    prepared(settings)
    with open_store(settings) as database:
        index = SearchIndex(database)
        if not index.prepare():
            problem = "its engine has no FTS5, or the index was made by another version"
            raise DatabaseUnusable("make an index", database.name, problem, "searches look at the newest rows instead")
        if anew:
            index.empty()
        for rows in _brought(index):
            if is_terminal() and not as_json:
                click.echo(f"\r{plural(rows, 'row')} at most", nl=False, err=True)
    if as_json:
        print_json({"database": shown_url(settings)})
    else:
        click.echo(f"everything in {one_line(shown_url(settings))} is in the index")


def _brought(index: SearchIndex) -> Iterator[int]:
    """Bring in all that waits; how many rows that were at most, after each transaction."""
    rows = failures = 0
    while True:
        tried = index.at_once
        try:
            if not index.is_waiting():
                return
            index.add_waiting()
        except DatabaseUnavailable:  # it may have been too much at once: the next attempt brings half
            failures += 1
            if failures > _MOST_FAILURES:
                raise
        else:
            failures = 0
            rows += tried
            yield rows
