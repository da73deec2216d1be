"""What commands share: the database option, settings, and printing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from turso_hooks.cli.text import safe_json
from turso_hooks.errors import DatabaseUnusable, SettingsError
from turso_hooks.events.marks import plain
from turso_hooks.settings import Settings, load_settings
from turso_hooks.store import open_store, prepare_schema, target_of

database_option = click.option(
    "--db",
    "database_url",
    metavar="URL",
    help="The database, such as file:agents.db or libsql://NAME.turso.io; by default TURSO_DATABASE_URL.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
json_lines_option = click.option("--jsonl", "as_json_lines", is_flag=True, help="Print JSON, one a line.")


def settings_for(database_url: str | None) -> Settings:
    """The settings, with the database given on the command line. Raises `SettingsError` if there is no database."""
    settings = load_settings(database_url=database_url)
    if not settings.database_url:
        raise SettingsError("no database is named: pass --db file:agents.db or set TURSO_DATABASE_URL")
    return settings


def shown_url(settings: Settings) -> str:
    """The URL of the database, as it may be printed: a server's without what may be secret in it."""
    target = target_of(settings)
    return target.name if target.path is None else settings.database_url or ""


def prepared(settings: Settings) -> list[int]:
    """See to the schema before anything is sent to the database; the versions applied. Raises `DatabaseError`."""
    with open_store(settings) as database:
        return prepare_schema(database)


def prepare_what_is_there(settings: Settings) -> None:
    """The same of a database that is there already: a name that is mistyped makes no new one. Raises `DatabaseError`."""
    target = target_of(settings)
    if target.path is not None and not Path(target.path).exists():
        raise DatabaseUnusable("open the database", target.name, "its file is not there", "check the name")
    prepared(settings)


def print_json(value: Any) -> None:
    """Print a value as indented JSON; times as ISO 8601 in UTC."""
    click.echo(safe_json(msgspec.json.format(_encoded(value), indent=2).decode()))


def print_json_line(value: Any) -> None:
    """Print a value as one line of JSON."""
    click.echo(json_text(value))


def json_text(value: Any) -> str:
    """A value as one line of JSON."""
    return safe_json(_encoded(value).decode())


def _encoded(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value, enc_hook=str)
    except UnicodeEncodeError:  # another program's JSON may hold lone surrogates
        return msgspec.json.encode(plain(value, for_json=True))
