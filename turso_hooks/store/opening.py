"""The database that the settings name, opened with what they say."""

from __future__ import annotations

from turso_hooks.drivers import Database, DatabaseTarget, open_database, parse_database_url
from turso_hooks.errors import SettingsError
from turso_hooks.settings import Settings

_BUSY_S = 5.0


def target_of(settings: Settings) -> DatabaseTarget:
    """The database that is named. Raises `SettingsError` if there is none, or its URL cannot be read."""
    if not settings.database_url:
        raise SettingsError("no database is named: set TURSO_DATABASE_URL, such as TURSO_DATABASE_URL=file:agents.db")
    return parse_database_url(settings.database_url)


def open_store(
    settings: Settings, target: DatabaseTarget | None = None, *, read_only: bool = False, busy_timeout_s: float = _BUSY_S
) -> Database:
    """The database, or another one, `target`; nothing is opened before it is used. For the rest see `drivers.open_database`."""
    return open_database(
        target or target_of(settings),
        auth_token=settings.auth_token,
        read_only=read_only,
        busy_timeout_s=busy_timeout_s,
        request_timeout_s=settings.request_timeout_s,
        allows_unencrypted=settings.allow_unencrypted_token,
    )
