"""The settings step: what is set, whether it can be read, and which database is meant."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from turso_hooks.cli.checks.steps import Step, joined
from turso_hooks.drivers import DatabaseTarget
from turso_hooks.errors import SettingsError, describe
from turso_hooks.settings import Settings, load_settings, setting_fields
from turso_hooks.store import target_of

_NAME = "settings"
_URL, _TOKEN, _STATE_FOLDER = "TURSO_DATABASE_URL", "TURSO_AUTH_TOKEN", "TURSO_HOOKS_STATE_FOLDER"
_AUTHORITIES = "SSL_CERT_FILE"
_VARIABLES = [entry.metadata["variable"] for entry in setting_fields()]


@dataclass(frozen=True)
class Configured:
    """What the settings came to."""

    step: Step
    settings: Settings
    """With defaults where a value cannot be used."""
    target: DatabaseTarget | None
    """None if no database is named, or its URL cannot be read."""
    knows_journal: bool
    """Whether the journal is where the settings say."""


def configured(environment: Mapping[str, str], database_url: str | None) -> Configured:
    """Read the settings, each by itself, so that all that is wrong with them is said at once."""
    wrong = _wrong(environment)
    usable = {name: value for name, value in environment.items() if name not in wrong}
    settings = load_settings(usable, database_url=database_url)
    target, named = _named(settings, is_given=database_url is not None)
    findings = [named, *_refused(wrong), *_unknown(environment)]
    if target is not None:
        findings[1:1] = [*_token(target, settings), *_others(usable)]
        findings += _authorities(target, environment)
    return Configured(joined(_NAME, findings), settings, target, _STATE_FOLDER not in wrong)


def _wrong(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables whose values cannot be used, and why."""
    problems = {variable: _problem(variable, environment.get(variable, "")) for variable in _VARIABLES}
    return {variable: problem for variable, problem in problems.items() if problem}


def _problem(variable: str, value: str) -> str:
    try:
        load_settings({variable: value})
    except SettingsError as error:
        return str(error)
    return ""


def _named(settings: Settings, *, is_given: bool) -> tuple[DatabaseTarget | None, Step]:
    where = "--db" if is_given else _URL
    if not settings.database_url:
        remedy = f"set {_URL}=file:agents.db (or libsql://NAME.turso.io), or pass it with --db"
        return None, Step(_NAME, "failed", f"no database is named: {where} is empty or not set", remedy)
    try:
        target = target_of(settings)
    except (SettingsError, OSError) as error:
        remedy = f"write {where}{' ' if is_given else '='}file:agents.db or libsql://NAME.turso.io"
        return None, Step(_NAME, "failed", describe(error), remedy)
    return target, Step(_NAME, "ok", f"the database is {target.name} ({where})")


def _token(target: DatabaseTarget, settings: Settings) -> list[Step]:
    if target.server is None:
        return []
    if target.auth_token:
        return [Step(_NAME, "ok", "its URL has a token")]
    return [Step(_NAME, "ok", f"{_TOKEN} is {'set' if (settings.auth_token or '').strip() else 'not set'}")]


def _others(environment: Mapping[str, str]) -> list[Step]:
    names = [name for name in _VARIABLES if environment.get(name) and name not in {_URL, _TOKEN}]
    return [Step(_NAME, "ok", f"set too: {', '.join(names)}")] if names else []


def _refused(wrong: Mapping[str, str]) -> list[Step]:
    return [Step(_NAME, "failed", problem, f"correct {name}, or unset it") for name, problem in wrong.items()]


def _authorities(target: DatabaseTarget, environment: Mapping[str, str]) -> list[Step]:
    """Whether the certificates that are named can be read: OpenSSL says nothing, and trusts nobody."""
    file = environment.get(_AUTHORITIES)
    if file is None or target.server is None or not target.server.is_encrypted:
        return []
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except OSError as error:
        reason = "there is none in it" if isinstance(error, ssl.SSLError) else error.strerror
        remedy = f"write the file with your authority's certificate into {_AUTHORITIES}, or unset it"
        return [Step(_NAME, "warning", f"{_AUTHORITIES}={file} names no certificate ({reason})", remedy)]
    return []


def _unknown(environment: Mapping[str, str]) -> list[Step]:
    names = sorted(name for name in environment if name.startswith("TURSO_HOOKS_") and name not in _VARIABLES)
    return [Step(_NAME, "warning", f"{name} is no setting", _meant(name)) for name in names]


def _meant(name: str) -> str:
    near = get_close_matches(name, _VARIABLES, 1, 0.8)
    return f"write {near[0]} instead of {name}" if near else f"unset {name}; the settings are in docs/reference/settings.md"
