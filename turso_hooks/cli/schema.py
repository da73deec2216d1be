"""`migrate`: the schema, by hand."""

from __future__ import annotations

import click

from turso_hooks.cli.options import database_option, json_option, prepared, print_json, settings_for
from turso_hooks.cli.text import one_line
from turso_hooks.store import target_of
from turso_hooks.store.migrations import LATEST


@click.command("migrate")
@database_option
@json_option
def migrate_command(database_url: str | None, as_json: bool) -> None:
    """Bring a database's schema up to date, or make a new database.

    A database of the original TypeScript logger is upgraded in place: it can go on writing to it. Running this again changes
    nothing. The plugin does it by itself.
    """
    settings = settings_for(database_url)
    name = target_of(settings).name
    shown = one_line(name)
    applied = prepared(settings)
    if as_json:
        print_json({"database": name, "version": LATEST, "applied": applied})
    elif applied:
        click.echo(f"{shown} is at schema version {LATEST} now (applied: {', '.join(map(str, applied))})")
    else:
        click.echo(f"{shown} is at schema version {LATEST} already")
