"""`reindex` and `recount`: what else is done bit by bit as things are logged."""

from __future__ import annotations

from collections.abc import Callable

import click

from turso_hooks.cli.options import database_option, json_option, prepare_what_is_there, print_json, settings_for, shown_url
from turso_hooks.cli.text import is_terminal, one_line, plural
from turso_hooks.errors import DatabaseUnusable
from turso_hooks.store import Rollups, SearchIndex, open_store


@click.command("reindex")
@database_option
@click.option("--anew", is_flag=True, help="Empty the index first.")
@json_option
def reindex_command(database_url: str | None, anew: bool, as_json: bool) -> None:
    """Bring into the search index what is not there yet: what was logged before there was one, or by another program.

    Some thousand rows at a time, so that others can write in between; it may be stopped and called again.
    """
    settings = settings_for(database_url)
    prepare_what_is_there(settings)
    with open_store(settings) as database:
        index = SearchIndex(database)
        if not index.prepare():
            problem = "its engine has no FTS5, or the index was made by another version"
            raise DatabaseUnusable("make an index", database.name, problem, "searches look at the newest rows instead")
        if anew:
            index.empty()
        index.add_rest(_shown(is_silent=as_json))
    if as_json:
        print_json({"database": shown_url(settings)})
    else:
        click.echo(f"everything in {one_line(shown_url(settings))} is in the index")


@click.command("recount")
@database_option
@click.option("--anew", is_flag=True, help="Forget what is counted first. Until it is done, statistics lack what is not.")
@json_option
def recount_command(database_url: str | None, anew: bool, as_json: bool) -> None:
    """Count for statistics what was not counted yet: what was logged before they were kept.

    Some sessions at a time, so that others can write in between; it may be stopped and called again.
    """
    settings = settings_for(database_url)
    prepare_what_is_there(settings)
    with open_store(settings) as database:
        rollups = Rollups(database)
        if anew:
            rollups.forget()
        rollups.do_rest(_shown(is_silent=as_json))
    if as_json:
        print_json({"database": shown_url(settings)})
    else:
        click.echo(f"everything in {one_line(shown_url(settings))} is counted")


def _shown(*, is_silent: bool) -> Callable[[int], None]:
    """Shows in a terminal how many rows that was at most so far."""
    rows = 0

    def show(done: int) -> None:
        nonlocal rows
        rows += done
        if is_terminal() and not is_silent:
            click.echo(f"\r{plural(rows, 'row')} at most", nl=False, err=True)

    return show
