"""`migrate`: the schema, by hand."""

from __future__ import annotations

import click

from turso_hooks.cli.options import database_option, json_option, print_json, settings_for
from turso_hooks.drivers import EmbeddedDatabase, parse_database_url
from turso_hooks.errors import SettingsError
from turso_hooks.store import prepare_schema, schema_version


@click.command("migrate")
@database_option
@json_option
def migrate_command(database_url: str | None, as_json: bool) -> None:
    """Bring a database's schema up to date, or make a new database.

    A database of the original TypeScript logger is upgraded in place: it can go on writing to it. Running this again changes
    nothing. The plugin does it by itself.
    """
    target = parse_database_url(settings_for(database_url).database_url or "")
    if target.path is None:
        raise SettingsError(f"cannot migrate {target.name} yet: this version writes to files only (file:agents.db)")
    database = EmbeddedDatabase(target.path)
    try:
        applied = prepare_schema(database)
        version = schema_version(database)
    finally:
        database.close()
    if as_json:
        print_json({"database": target.name, "version": version, "applied": applied})
    elif applied:
        click.echo(f"{target.name} is at schema version {version} now (applied: {', '.join(map(str, applied))})")
    else:
        click.echo(f"{target.name} is at schema version {version} already")
