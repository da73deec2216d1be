"""`status`: what waits, what was shipped, what was not kept and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import click

from turso_hooks.adapters.claude_code.inbox import waiting_bytes
from turso_hooks.cli.options import database_option, json_option, print_json
from turso_hooks.cli.text import one_line, plural, size, visible, when
from turso_hooks.drivers import DatabaseTarget, target_of_name
from turso_hooks.errors import describe
from turso_hooks.journal import JournalFolder
from turso_hooks.settings import Settings, load_settings
from turso_hooks.shipping import KEPT_OTHERWISE, NO_EVENTS, TargetState, WriterState, read_state
from turso_hooks.store import open_store, target_of

_SHOWN_WRITERS = 10
"""The writers shown to a person, the newest ones; `--json` has all of them."""

_SHOWN_REASONS = 5
"""The reasons of dead letters shown to a person, the most frequent ones."""

_OF_JOURNAL = ("journal_bytes", "waiting_records", "waiting_bytes")
"""What is not known of a journal that cannot be read."""

_BUSY_S = 1.0
"""How long a database that is locked is waited for."""

_REQUEST_TIMEOUT_S = 10.0
"""How long a server is waited for, at most: whoever asks for the state is in front of the screen."""


@click.command("status")
@database_option
@json_option
def status_command(database_url: str | None, as_json: bool) -> None:
    """Show what waits in the journal, what was shipped, and what was not kept.

    Of the database named by --db or TURSO_DATABASE_URL; without either, of every database that has a journal here.
    """
    settings = load_settings(database_url=database_url)
    states = read_states(settings)
    hook_bytes = waiting_bytes(str(settings.state_folder), settings.database_url)
    if as_json:
        told = {"state_folder": settings.state_folder, "hook_bytes": hook_bytes}
        print_json({**told, "targets": [_plain(state) for state in states]})
        return
    click.echo("\n\n".join("\n".join(_lines(state)) for state in states) or "no database has a journal yet")
    if hook_bytes:
        click.echo(f"\nwhat hooks were told: {size(hook_bytes)} that wait for turso-hooks drain")
    if not states:
        click.echo(f"looked in {visible(settings.state_folder)}; to try it: turso-hooks demo", err=True)


def read_states(settings: Settings) -> list[TargetState]:
    """The state of the database that is named, or of all that have a journal."""
    if settings.database_url:
        target = target_of(settings)
        return [_read(JournalFolder(settings.state_folder, target.name), target, settings)]
    folders = JournalFolder.all_in(settings.state_folder)
    return [_read(folder, target_of_name(folder.target), settings) for folder in folders]


def _read(folder: JournalFolder, target: DatabaseTarget, settings: Settings) -> TargetState:
    try:
        return _looked_at(folder, target, settings)
    except OSError as error:  # one journal without rights does not hide the others
        problem = f"its journal cannot be read ({error.strerror or describe(error)}), and without that nothing is known"
        return TargetState(folder.target, folder.path, 0, unread=problem, unreadable=[folder.path])


def _looked_at(folder: JournalFolder, target: DatabaseTarget, settings: Settings) -> TargetState:
    obstacle = _obstacle(target, settings)
    if obstacle:
        state = read_state(folder, None)
        state.unread = obstacle
        return state
    patience_s = min(settings.request_timeout_s, _REQUEST_TIMEOUT_S)
    here = replace(settings, request_timeout_s=patience_s)
    with open_store(here, target, read_only=True, busy_timeout_s=_BUSY_S) as database:
        return read_state(folder, database)


def _obstacle(target: DatabaseTarget, settings: Settings) -> str | None:
    """Why a database is not even asked."""
    if target.path is not None:
        is_there = os.path.exists(target.path)  # noqa: PTH110  # Path.exists raises where it may not look
        return None if is_there else "the file is not there"
    if target.server is None:
        return "which database it is, is not known"
    # The token belongs to the server that is named with it, and goes to no other.
    return None if settings.database_url else f"a server is asked when it is named: --db {target.name}"


def _is_closed(state: TargetState) -> bool:
    """Whether the journal itself could not be read: then its folder is among what is unreadable."""
    return state.folder in state.unreadable


def _plain(state: TargetState) -> dict[str, Any]:
    values = {entry.name: getattr(state, entry.name) for entry in fields(state)}
    return {**values, **dict.fromkeys(_OF_JOURNAL)} if _is_closed(state) else values


def _lines(state: TargetState) -> Iterator[str]:
    yield one_line(state.target)
    for name, value in _facts(state):
        yield f"  {name:<15} {one_line(value)}"
    if state.writers:
        yield ""
        yield from _writers(state.writers)


def _facts(state: TargetState) -> Iterator[tuple[str, str]]:
    yield from _reach(state)
    yield from _amounts(state)
    yield from _oddities(state)


def _reach(state: TargetState) -> Iterator[tuple[str, str]]:
    never = "not known" if _is_closed(state) else "never, as far as the journal knows"
    yield "last reached", when(state.reached_at) if state.reached_at else never
    if state.problem:
        yield "in the way", f"{state.problem} ({when(state.failed_at)})"
    if state.unread:
        yield "not read now", state.unread


def _amounts(state: TargetState) -> Iterator[tuple[str, str]]:
    waiting = f"{plural(state.waiting_records, 'record')}, {size(state.waiting_bytes)}"
    if _is_closed(state):
        waiting = "not known"
    yield "waiting", f"{waiting}, since {when(state.waiting_since)}" if state.waiting_since else waiting
    left = sum(writer.waiting_records for writer in state.writers if writer.state == "left behind")
    if left:
        yield "", f"{left:,} of them left behind by processes that are gone; to ship them: turso-hooks drain"
    yield "shipped", "not known" if state.unread else plural(state.shipped_records, "record")
    not_kept = {reason for reason in state.counts if reason not in KEPT_OTHERWISE | NO_EVENTS}
    yield "not kept", _counted(state.counts, not_kept) or "nothing that is known of"
    for name, kind in (("kept otherwise", KEPT_OTHERWISE), ("also counted", NO_EVENTS)):
        if counted := _counted(state.counts, kind):
            yield name, counted
    if state.missing_numbers:
        yield "missing", f"{plural(state.missing_numbers, 'number')}: records refused or damaged, also those counted above"
    if state.dead_letters:
        yield "dead letters", f"{sum(state.dead_letters.values()):,}, see: turso-hooks journal dead-letters"
    for reason, number in state.dead_letters.most_common(_SHOWN_REASONS):
        yield "", f"{number:,} x {reason}"


def _oddities(state: TargetState) -> Iterator[tuple[str, str]]:
    if state.damages:
        yield "damaged", f"{plural(state.damages, 'stretch', 'stretches')} in what waits"
    for path in state.of_another_version:
        yield "left alone", f"{path}: written by another version of turso-hooks"
    for path in state.unreadable:
        yield "unreadable", str(path)


def _counted(counts: Counter[str], reasons: set[str] | frozenset[str]) -> str:
    return ", ".join(f"{counts[reason]:,} {reason}" for reason in sorted(reasons & counts.keys()))


def _writers(writers: list[WriterState]) -> Iterator[str]:
    yield f"  {'writer':<32}  {'began':<19}  {'state':<11}  {'waiting':>9}  {'shipped':>11}  not kept, or set aside"
    for writer in writers[-_SHOWN_WRITERS:]:
        counted = _counted(writer.counts, set(writer.counts))
        numbers = f"{writer.waiting_records:>9,}  {writer.shipped_records:>11,}"
        yield f"  {writer.writer_id:<32}  {when(writer.began_at):<19}  {writer.state:<11}  {numbers}  {counted}".rstrip()
    if len(writers) > _SHOWN_WRITERS:
        yield f"  and {len(writers) - _SHOWN_WRITERS:,} earlier ones: --json"
