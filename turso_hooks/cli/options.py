"""What commands share: the database option, settings, and printing."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from turso_hooks.errors import SettingsError
from turso_hooks.settings import Settings, load_settings

database_option = click.option(
    "--db", "database_url", metavar="URL", help="The database, such as file:agents.db; by default TURSO_DATABASE_URL."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def settings_for(database_url: str | None) -> Settings:
    """The settings, with the database given on the command line. Raises `SettingsError` if there is no database."""
    settings = load_settings(database_url=database_url)
    if not settings.database_url:
        raise SettingsError("no database is named: pass --db file:agents.db or set TURSO_DATABASE_URL")
    return settings


def print_json(value: Any) -> None:
    """Print a value as indented JSON; times as ISO 8601 in UTC."""
    click.echo(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode())


def is_terminal() -> bool:
    """Whether a person is reading along."""
    return sys.stdout.isatty()


def plural(number: int, noun: str) -> str:
    """`1 message`, `2 messages`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
