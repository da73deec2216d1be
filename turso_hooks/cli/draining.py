"""`drain`: shipping what waits, by hand."""

from __future__ import annotations

import fcntl
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from turso_hooks.adapters.claude_code.inbox import waiting_bytes
from turso_hooks.cli.claude_code import HookTaker
from turso_hooks.cli.options import database_option, json_option, print_json, settings_for
from turso_hooks.cli.text import one_line, plural, visible
from turso_hooks.errors import DatabaseLocked
from turso_hooks.journal import JournalFolder
from turso_hooks.settings import LONGEST_S, Settings
from turso_hooks.shipping import Shipper
from turso_hooks.store import open_store, target_of

_LOOK_EVERY_S = 0.2
_TRIES = 5
"""How often a locked database is tried before the command gives up."""


@dataclass
class DrainResult:
    """What `drain --json` prints."""

    database: str
    events: int = 0
    dead_letters: int = 0
    hook_lines: int = 0
    """Of what hooks were told and of the transcripts that they named, taken in and shipped as well."""
    counts: dict[str, int] = field(default_factory=dict)
    waiting_bytes: int = 0
    """In segments that belong to running processes, which ship them themselves."""
    of_another_version: list[str] = field(default_factory=list)


class _Seconds(click.FloatRange):
    """A number of seconds; `nan` is in every range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return seconds


@click.command("drain")
@database_option
@click.option(
    "--idle", "idle_s", type=_Seconds(min=0, max=LONGEST_S), default=0, metavar="SECONDS",
    help="Go on until nothing came for so long; at once if another such command runs.",
)  # fmt: skip
@json_option
def drain_command(database_url: str | None, idle_s: float, as_json: bool) -> None:
    """Ship what processes that are gone left in the journal.

    What running processes have recorded they ship themselves.
    """
    settings = settings_for(database_url)
    result = drain(settings, idle_s)
    if as_json:
        print_json(result)
        return
    lines = f"{plural(result.hook_lines, 'line')} from hooks and " if result.hook_lines else ""
    click.echo(f"{lines}{plural(result.events, 'event')} shipped to {one_line(result.database)}")
    for reason, number in sorted(result.counts.items()):
        click.echo(f"  {reason}: {number:,}")
    if result.waiting_bytes:
        click.echo(f"{plural(result.waiting_bytes, 'byte')} wait for running processes to ship them")
    for path in result.of_another_version:
        click.echo(f"left alone, written by another version of turso-hooks: {visible(path)}", err=True)


def drain(settings: Settings, idle_s: float = 0) -> DrainResult:
    """Ship all that has no writer any more. Raises `DatabaseError` if the database does not take it."""
    result = _drained(settings, idle_s)
    # A hook that came while the last drain let go of its locks has started one that found them, and ended.
    while idle_s and waiting_bytes(str(settings.state_folder), settings.database_url):
        again = _drained(settings, idle_s)
        result.events += again.events
        result.hook_lines += again.hook_lines
        if not again.hook_lines:  # another has it
            break
    return result


def _drained(settings: Settings, idle_s: float) -> DrainResult:
    target = target_of(settings)
    folder = JournalFolder(settings.state_folder, target.name)
    result = DrainResult(target.name)
    lock = _only_one(folder.path) if idle_s else None
    if idle_s and lock is None:
        return result
    shipper = Shipper(
        open_store(settings),
        folder,
        batch_events=settings.batch_events,
        search_index=settings.search_index,
        retention_days=settings.retention_days,
    )
    try:
        result.hook_lines = _take_and_ship(settings, shipper, idle_s)
        shipper.upkeep_rest()
    finally:
        shipper.close()
        if lock is not None:
            os.close(lock)
    result.events, result.dead_letters = shipper.shipped.events, shipper.shipped.dead_letters
    result.counts = dict(shipper.shipped.counts)
    result.waiting_bytes = sum(size for _, size in folder.waiting())
    result.of_another_version = [str(path) for path in folder.of_another_version()]
    return result


def _take_and_ship(settings: Settings, shipper: Shipper, idle_s: float) -> int:
    """Ship what waits, and what hooks were told; how many lines that were."""
    lines = 0
    while True:
        taker = HookTaker(settings)
        with taker:
            _ship_until_idle(shipper, taker.take, idle_s)
        lines += taker.lines
        if not taker.is_left():
            return lines


def _ship_until_idle(shipper: Shipper, take: Callable[[], int], idle_s: float) -> None:
    failures, idle_since = 0, time.monotonic()
    while True:
        if take():
            idle_since = time.monotonic()
        try:
            while shipper.adopt():
                while shipper.ship_adopted():
                    idle_since = time.monotonic()
            failures = 0
        except DatabaseLocked:
            failures += 1
            if failures >= _TRIES:
                raise
        if not failures and time.monotonic() - idle_since >= idle_s:
            return
        time.sleep(_LOOK_EVERY_S)  # files give no event to wait for


def _only_one(folder: Path) -> int | None:
    """A lock that one waiting drain holds; None if another has it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(folder / "drain.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd
