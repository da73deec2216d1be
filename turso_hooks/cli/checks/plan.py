"""Which steps a database has, and which of them need which."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from turso_hooks.cli.checks.configured import Configured, configured
from turso_hooks.cli.checks.database import (
    in_transaction,
    keeping_journal_mode,
    round_trip_step,
    schema_step,
    write_step,
)
from turso_hooks.cli.checks.file import file_step, is_there
from turso_hooks.cli.checks.journal import journal_step
from turso_hooks.cli.checks.secrets import hiding
from turso_hooks.cli.checks.server import allowed, server_checks
from turso_hooks.cli.checks.steps import Check, Step, run_checks
from turso_hooks.drivers import Database, DatabaseTarget
from turso_hooks.drivers.urls import Server
from turso_hooks.settings import Settings
from turso_hooks.store import open_store

_PATIENCE_S = 5.0
"""How long any one thing is waited for: whoever asks is in front of the screen."""


@dataclass(frozen=True)
class Diagnosis:
    """The database that is looked at, None if there is none, and its steps, found out while they are asked for."""

    database: str | None
    steps: Iterator[Step]


def diagnose(environment: Mapping[str, str], database_url: str | None) -> Diagnosis:
    """Look at the database that `database_url`, else the environment, names. Raises nothing that stands in its way."""
    found = configured(environment, database_url)
    settings = replace(found.settings, request_timeout_s=min(_PATIENCE_S, found.settings.request_timeout_s))
    hide = hiding(found.settings.database_url, found.settings.auth_token)
    name = None if found.target is None else found.target.name
    return Diagnosis(name, _steps(found, settings, hide))


def _steps(found: Configured, settings: Settings, hide: Callable[[str], str]) -> Iterator[Step]:
    first, last = Check("settings", lambda: found.step), _journal_check(found, settings)
    if found.target is None:
        lacking = [Check(name, lambda: found.step, ("settings",)) for name in ("schema", "write", "round trip")]
        yield from run_checks([first, *lacking, last], hide)
        return
    with closing(_opened(settings, found.target)) as database:
        yield from run_checks([first, *_database_checks(found.target, settings, database), last], hide)


def _opened(settings: Settings, target: DatabaseTarget) -> Database:
    """The database for looking at."""
    return open_store(settings, target, read_only=True, busy_timeout_s=settings.request_timeout_s)


def _database_checks(target: DatabaseTarget, settings: Settings, database: Database) -> list[Check]:
    if target.path is not None:
        return _file_checks(target.path, target, settings, database)
    assert target.server is not None  # a target is one or the other
    return _server_checks(target.server, target, settings, database)


def _server_checks(server: Server, target: DatabaseTarget, settings: Settings, database: Database) -> list[Check]:
    token = target.auth_token or settings.auth_token

    def write() -> Step:
        return allowed(target, token, lambda: write_step(database, in_transaction(database)))

    return [
        *server_checks(target, server, settings, database),
        Check("schema", lambda: schema_step(database), ("protocol",)),
        Check("write", write, ("schema",)),
        Check("round trip", lambda: round_trip_step(database, settings.request_timeout_s), ("protocol",)),
    ]


def _file_checks(path: Path, target: DatabaseTarget, settings: Settings, database: Database) -> list[Check]:
    patience_s = settings.request_timeout_s

    def write() -> Step:
        with open_store(settings, target, busy_timeout_s=patience_s) as writable:
            return write_step(database, keeping_journal_mode(writable))

    def if_there(name: str, step: Callable[[], Step]) -> Callable[[], Step]:
        return lambda: step() if is_there(path) else Step(name, "skipped", "the file is not there yet")

    return [
        Check("file", lambda: file_step(path, database)),
        Check("schema", if_there("schema", lambda: schema_step(database)), ("file",)),
        Check("write", if_there("write", write), ("schema",)),
        Check("round trip", if_there("round trip", lambda: round_trip_step(database, patience_s)), ("file",)),
    ]


def _journal_check(found: Configured, settings: Settings) -> Check:
    name = None if found.target is None else found.target.name
    needs = () if found.knows_journal else ("settings",)
    return Check("journal", lambda: journal_step(settings, name), needs)
