"""Every setting, its default and its variable; the only reader of the environment.

Values are read once, checked, and passed down as one frozen `Settings`. A wrong value raises `SettingsError` with a sentence
that names the variable. Nothing here opens a file or a connection.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from turso_hooks.errors import SettingsError
from turso_hooks.state_folder import default_state_folder

_T = TypeVar("_T")

_MIB = 1024 * 1024
_SHOWN_CHARS = 60
_SMALLEST_EVENT_BYTES = 4096
"""Below this the names and marks of a cut event would not fit."""

LONGEST_S = 1_000_000
"""Eleven days: `poll` takes milliseconds in 31 bits, and what is longer comes out as no wait, or as one without end."""


def _whole_number(smallest: int) -> Callable[[str], int]:
    return _number(int, smallest, float("inf"), f"a whole number of at least {smallest}")


def _seconds(smallest: float) -> Callable[[str], float]:
    return _number(float, smallest, LONGEST_S, f"a number of at least {smallest:g} and at most {LONGEST_S}")


def _number(kind: Callable[[str], _T], smallest: float, largest: float, what: str) -> Callable[[str], _T]:
    def parse(text: str) -> _T:
        try:
            value = kind(text.replace("_", ""))
        except ValueError:
            raise SettingsError(f"must be {what}, not {_shown(text)}") from None
        if not smallest <= value <= largest:  # type: ignore[operator]  # int or float, as called above; nan is neither
            raise SettingsError(f"must be {what}, not {_shown(text)}")
        return value

    return parse


def _yes_or_no(text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    try:
        return known[text.strip().lower()]
    except KeyError:
        raise SettingsError(f"must be 1 or 0 (or true/false, yes/no, on/off), not {_shown(text)}") from None


def _setting(variable: str, default: Any, parse: Callable[[str], Any], unit: str, meaning: str) -> Any:
    metadata = {"variable": variable, "parse": parse, "unit": unit, "meaning": meaning}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def _default_state_folder() -> Path:
    try:
        return Path(default_state_folder())
    except LookupError:
        problem = (
            "this user has no home folder for the journal: set TURSO_HOOKS_STATE_FOLDER to a folder on a local disk, or HOME"
        )
        raise SettingsError(problem) from None


def _folder(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except (RuntimeError, OSError) as error:
        raise SettingsError(f"must be a folder, not {_shown(text)}: {error}") from None


def _shown(text: str) -> str:
    """A wrong value, short enough for a sentence."""
    return repr(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…")


@dataclass(frozen=True, repr=False)
class Settings:
    """What turso-hooks was told. `docs/reference/settings.md` is the list of these for people, checked against this class."""

    database_url: str | None = _setting(
        "TURSO_DATABASE_URL", None, str, "URL", "Where conversations are kept, such as `file:agents.db`. Unset: nothing is."
    )
    auth_token: str | None = _setting("TURSO_AUTH_TOKEN", None, str, "text", "The token for a database that asks for one.")
    state_folder: Path = _setting(
        "TURSO_HOOKS_STATE_FOLDER",
        _default_state_folder,
        _folder,
        "path",
        "Where the journals lie. It must be on a local disk; by default the user's state folder.",
    )
    max_event_bytes: int = _setting(
        "TURSO_HOOKS_MAX_EVENT_BYTES",
        16 * _MIB,
        _whole_number(_SMALLEST_EVENT_BYTES),
        "bytes",
        "The largest encoded event; longer fields are cut and say so.",
    )
    journal_max_bytes: int = _setting(
        "TURSO_HOOKS_JOURNAL_MAX_BYTES",
        1024 * _MIB,
        _whole_number(0),
        "bytes",
        "How much may wait for one database; beyond it the newest events are refused and counted.",
    )
    segment_bytes: int = _setting(
        "TURSO_HOOKS_SEGMENT_BYTES",
        16 * _MIB,
        _whole_number(_SMALLEST_EVENT_BYTES),
        "bytes",
        "The size at which a journal segment is closed and the next begun.",
    )
    fsync: bool = _setting(
        "TURSO_HOOKS_FSYNC",
        False,
        _yes_or_no,
        "1 or 0",
        "Force every event to the disk before the hook returns: survives a power cut, costs milliseconds.",
    )
    ship_interval_s: float = _setting(
        "TURSO_HOOKS_SHIP_INTERVAL_S",
        0.2,
        _seconds(0.001),
        "seconds",
        "How often the shipping thread looks for new events.",
    )
    batch_events: int = _setting(
        "TURSO_HOOKS_BATCH_EVENTS",
        1000,
        _whole_number(1),
        "events",
        "The most events shipped in one transaction.",
    )
    search_index: bool = _setting(
        "TURSO_HOOKS_SEARCH_INDEX",
        True,
        _yes_or_no,
        "1 or 0",
        "Keep an index of all text, where the database can: without it a search finds the newest only.",
    )
    retention_days: int = _setting(
        "TURSO_HOOKS_RETENTION_DAYS",
        0,
        _number(int, 0, 36_500, "a whole number of at least 0 and at most 36500"),
        "days",
        "Remove conversations of which nothing was seen for so long, while others are logged; 0 keeps them all.",
    )
    request_timeout_s: float = _setting(
        "TURSO_HOOKS_REQUEST_TIMEOUT_S",
        30.0,
        _seconds(0.001),
        "seconds",
        "How long a database server may take for one request, from the connection to the end of the answer.",
    )
    allow_unencrypted_token: bool = _setting(
        "TURSO_HOOKS_ALLOW_UNENCRYPTED_TOKEN",
        False,
        _yes_or_no,
        "1 or 0",
        "Send the token over `http:` or `ws:` to another machine too, where whoever is on the way can read it.",
    )
    exit_timeout_s: float = _setting(
        "TURSO_HOOKS_EXIT_TIMEOUT_S",
        2.0,
        _seconds(0),
        "seconds",
        "How long the interpreter's exit may be held up to ship what waits; the rest is shipped by the next process.",
    )

    def __repr__(self) -> str:
        """Without the token, wherever it is, and without the URL, which may hold one."""
        secret = {"auth_token", "database_url"}
        shown = (f"{entry.name}={getattr(self, entry.name)!r}" for entry in fields(self) if entry.name not in secret)
        return f"Settings({', '.join(shown)})"


def setting_fields() -> tuple[Field[Any], ...]:
    """The settings with their metadata `variable`, `parse`, `unit` and `meaning`; the docs are checked against it."""
    return fields(Settings)


def default_of(entry: Field[Any]) -> Any:
    """The default value of one of `setting_fields()`."""
    return entry.default if entry.default_factory is MISSING else entry.default_factory()


def load_settings(environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Read all settings from `environment` (by default the process's); `overrides` win, `None` among them does not.

    An empty variable counts as unset. Raises `SettingsError`, naming the variable, for a value that cannot be used.
    """
    source = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for entry in setting_fields():
        variable: str = entry.metadata["variable"]
        text = source.get(variable, "")
        if text:
            try:
                values[entry.name] = entry.metadata["parse"](text)
            except SettingsError as error:
                raise SettingsError(f"{variable} {error}") from None
    values |= {name: value for name, value in overrides.items() if value is not None}
    return Settings(**values)
