"""The functions of the original logger, under their names and with their meaning.

They give a database client to whoever wants to ask or write by hand. None of them raises: where Turso is not configured, or
cannot be used, they answer None or False and say why in the log (`turso_hooks`). The hooks do not need them.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

from turso_hooks import forking
from turso_hooks.drivers import Client, DatabaseTarget, parse_database_url
from turso_hooks.errors import TursoHooksError
from turso_hooks.settings import load_settings
from turso_hooks.store.migrations import Migration, pending, statements_of
from turso_hooks.store.schema import VERSION_SQL, check_version, is_table_missing

_log = logging.getLogger("turso_hooks")
_lock = threading.Lock()


@dataclass(frozen=True)
class TursoConfig:
    """Where the database is, and the token for it."""

    url: str = field(repr=False)
    auth_token: str | None = field(default=None, repr=False)


def _begin_anew() -> None:
    """In a forked child: a thread that is not there may hold the lock."""
    global _lock  # noqa: PLW0603  # it stands for the process
    _lock = threading.Lock()


forking.in_child(_begin_anew)


class _State:
    """The one client of the process, and whether its schema is known to be there."""

    client: Client | None = None
    is_initialized = False


def get_turso_config() -> TursoConfig | None:
    """What `TURSO_DATABASE_URL` and `TURSO_AUTH_TOKEN` say; None if no database is configured."""
    try:
        settings = load_settings()
    except TursoHooksError as error:
        _log.warning("turso-hooks is not configured: %s", error)
        return None
    return TursoConfig(settings.database_url, settings.auth_token) if settings.database_url else None


def create_turso_client(config: TursoConfig | None = None) -> Client | None:
    """A new client, a real `libsql_client.Client`, for `config` (by default the environment's); None without one."""
    config = config or get_turso_config()
    target = _target(config)
    if config is None or target is None:
        return None
    with forking.importing():
        from turso_hooks.drivers.clients import create_client  # noqa: PLC0415  # brings aiohttp, 275 ms

    try:
        settings = load_settings()
        client: Client = create_client(
            target,
            config.auth_token,
            timeout_s=settings.request_timeout_s,
            allows_unencrypted=settings.allow_unencrypted_token,
        )
    except TursoHooksError as error:
        _log.warning("no client for the database: %s", error)
        return None
    return client


def get_turso_client() -> Client | None:
    """The client of this process, made when it is first asked for; None if no database is configured."""
    with _lock:
        if _State.client is None or _State.client.closed:
            _State.client = create_turso_client()
            _State.is_initialized = False
        return _State.client


async def close_turso_client() -> None:
    """Close the client of this process, if there is one; the next `get_turso_client` makes another."""
    with _lock:
        client, _State.client, _State.is_initialized = _State.client, None, False
    if client is not None:
        await client.close()


async def initialize_schema(client: Client | None = None) -> bool:
    """Bring the database of `client` (by default this process's) up to date; True if its schema is there.

    What succeeded once for the process's client is not checked again (see `reset_schema_state`).
    """
    chosen = client or get_turso_client()
    if chosen is None:
        return False
    if client is None and _State.is_initialized:
        return True
    try:
        await _migrate(chosen)
    except Exception as error:  # noqa: BLE001  # any client may be handed in, with errors of its own; this function never raises
        _log.warning("cannot prepare the schema: %s", error)
        return False
    if client is None:
        _State.is_initialized = True
    return True


def reset_schema_state() -> None:
    """Forget that the schema was checked: the next `initialize_schema` looks again."""
    _State.is_initialized = False


def _target(config: TursoConfig | None) -> DatabaseTarget | None:
    if config is None:
        return None
    try:
        return parse_database_url(config.url)
    except TursoHooksError as error:
        _log.warning("%s", error)
        return None


async def _migrate(client: Client) -> None:
    version = check_version(await _version(client), "the client's database")
    for migration in pending(version):
        await _apply(client, migration)


async def _apply(client: Client, migration: Migration) -> None:
    try:
        await client.batch(list(statements_of(migration)))
    except Exception:
        if await _version(client) < migration.version:  # nobody else has done it
            raise


async def _version(client: Client) -> int:
    try:
        result = await client.execute(VERSION_SQL)
    except Exception as error:
        if is_table_missing(str(error)):
            return 0
        raise
    return int(result.rows[0][0] or 0)
