"""`prune` and `delete`: removing what was logged."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from turso_hooks.cli.draining import drain
from turso_hooks.cli.options import database_option, json_option, prepare_what_is_there, print_json, settings_for, shown_url
from turso_hooks.cli.reading.completing import complete_session
from turso_hooks.cli.reading.filtering import Moment, given
from turso_hooks.cli.text import is_terminal, one_line, plural, size
from turso_hooks.drivers import Database
from turso_hooks.errors import DatabaseError, EventError, SessionNotFound
from turso_hooks.events import decode, utc_now
from turso_hooks.journal import JournalFolder, look_into, slices_of
from turso_hooks.query import Reader
from turso_hooks.query.filters import STATUSES, meant_by, milliseconds, silent_before
from turso_hooks.settings import Settings
from turso_hooks.store import (
    ALL_TIME_MS,
    Prunable,
    Pruner,
    Removed,
    Rollups,
    SearchIndex,
    discard_dead_letters_of,
    newest_kept,
    open_store,
    read_ledger,
    target_of,
)

_PRUNED_STATUSES = tuple(status for status in STATUSES if status != "running")
_FREE = "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size"

_yes_option = click.option(
    "--yes", "-y", "is_sure", is_flag=True, help="Do not ask. To be said where nobody can be asked: in a pipe, in cron."
)


@click.command("prune")
@database_option
@click.option(
    "--older-than", "before", type=Moment(), help="Without any activity since: 90d (ninety days ago), 26w, 2026-01-31."
)
@click.option("--keep", type=click.IntRange(0, 10**9), metavar="N", help="All but so many, those that were seen last.")
@click.option("--agent", "agent_type", metavar="TYPE", help="Of this type of agent.")
@click.option("--model", help="Of this model.")
@click.option("--project", help="In this project.")
@click.option("--user", "user_id", metavar="ID", help="Of this user.")
@click.option("--runner", help="Logged by this runner.")
@click.option("--status", type=click.Choice(_PRUNED_STATUSES), help="With this status.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@_yes_option
@json_option
def prune_command(  # noqa: PLR0913, PLR0917  # its options
    database_url: str | None,
    before: datetime | None,
    keep: int | None,
    dry_run: bool,
    is_sure: bool,
    as_json: bool,
    **filters: Any,
) -> None:
    """Remove conversations, those that were seen last long ago first: all to which all of the options apply.

    With a conversation go its sub-agents', unless something of them was seen since. What is still running stays. Some rows at a
    time, so that others can write in between; it may be stopped and called again. In options a * stands for anything.
    """
    if before is None and keep is None and not given(filters):
        raise click.UsageError("say what is to be removed: --older-than 90d, --keep 1000, --project NAME, …")
    asks = not dry_run and _has_to_ask(is_sure=is_sure)
    settings = settings_for(database_url)
    if not dry_run:  # which changes nothing, not even the schema
        prepare_what_is_there(settings)
    with open_store(settings, read_only=dry_run) as database:
        prunable = _prunable(database, before, keep, filters)
        if dry_run or asks:
            would_go = Pruner(database, prunable).count()
            if dry_run:
                _say(would_go, settings, None, "would be removed", as_json=as_json)
                return
            click.confirm(f"remove {_in_words(would_go)} from {one_line(shown_url(settings))}?", abort=True, err=True)
        free_before = _free_bytes(database)
        pruner = Pruner(database, prunable)
        _remove(pruner, database, is_silent=as_json)
        _say(pruner.removed, settings, _freed(database, free_before), "removed", as_json=as_json)


@click.command("delete")
@click.argument("session_id", metavar="SESSION_ID", shell_complete=complete_session)
@database_option
@_yes_option
@json_option
def delete_command(session_id: str, database_url: str | None, is_sure: bool, as_json: bool) -> int:
    """Remove one conversation with everything of it, its sub-agents' as well.

    In a terminal the beginning of the id is enough, as it asks there. What processes that are gone left of it in the journal is
    shipped first, and so removed. What a process that runs still has of it there comes back: then the command says so, and
    exits with 1.
    """
    asks = _has_to_ask(is_sure=is_sure)
    settings = settings_for(database_url)
    prepare_what_is_there(settings)
    drain(settings)
    with open_store(settings) as database:
        session = Reader(database).session_summary(session_id)
        if session.session_id != session_id and not asks:
            whole = "where nobody is asked, the whole id is to be named"
            raise SessionNotFound(f"there is no session {session_id!r:.60}: {whole}")
        pruner = Pruner.of_session(database, session.session_id)
        session_ids, there = pruner.chosen()
        if asks:
            title = f" ({one_line(session.title)[:60]})" if session.title else ""
            what = f"{one_line(session.session_id)}{title}: {_in_words(there)}"
            click.confirm(f"remove {what} from {one_line(shown_url(settings))}?", abort=True, err=True)
        free_before = _free_bytes(database)
        _remove(pruner, database, is_silent=as_json)
        discard_dead_letters_of(database, session_ids)
        waiting = _waiting_events(settings, database, session_ids)
        facts = {"session_id": session.session_id, "waiting_events": waiting}
        _say(pruner.removed, settings, _freed(database, free_before), "removed", as_json=as_json, **facts)
    if waiting:
        events = plural(waiting, "event")
        click.echo(f"a process that runs has {events} of it and will ship them: delete it once more then", err=True)
    return 1 if waiting else 0


def _prunable(database: Database, before: datetime | None, keep: int | None, filters: dict[str, Any]) -> Prunable:
    now = utc_now()
    condition = meant_by(given(filters), now).together()
    seen_before_ms = ALL_TIME_MS if before is None else milliseconds(before)
    if keep is not None:
        kept = newest_kept(database, Prunable(condition.sql, condition.arguments), keep)
        if kept is None:
            condition.add("false")
        else:
            condition.add("(sessions.seen_ms < ? OR (sessions.seen_ms = ? AND sessions.rowid < ?))", kept[0], *kept)
            seen_before_ms = min(seen_before_ms, kept[0] + 1)  # of sub-agents too
    return Prunable(condition.sql, condition.arguments, seen_before_ms, silent_before(now))


def _has_to_ask(*, is_sure: bool) -> bool:
    if not is_sure and not is_terminal():
        raise click.UsageError("nobody can be asked here whether to remove them: say --yes")
    return not is_sure


def _remove(pruner: Pruner, database: Database, *, is_silent: bool) -> None:
    """Remove what is meant, and what the search index and statistics have of it."""
    shows = is_terminal() and not is_silent

    def show(removed: Removed) -> None:
        if shows:
            click.echo(f"\r{_in_words(removed)} removed", nl=False, err=True)

    pruner.remove_rest(show)
    if shows:
        click.echo(err=True)
    Rollups(database).do_rest()
    SearchIndex(database).take_out_rest()


def _free_bytes(database: Database) -> int | None:
    """What the database could take without growing; None where it does not say."""
    try:
        found: int = database.execute(_FREE, operation="look for free pages").rows[0][0]
    except (DatabaseError, IndexError):
        return None
    return found


def _freed(database: Database, before: int | None) -> int | None:
    after = _free_bytes(database)
    return None if before is None or after is None else max(0, after - before)


def _waiting_events(settings: Settings, database: Database, session_ids: Collection[str]) -> int:
    """Events of these sessions in the journals of running processes that are yet to be shipped."""
    ledger = read_ledger(database)
    waiting = 0
    for look in look_into(JournalFolder(settings.state_folder, target_of(settings).name)):
        entry = None if ledger is None else ledger.writers.get(look.file.writer_id)
        shipped = (0, 0) if entry is None else (entry.segment, entry.end_offset)
        for found in slices_of(look.segment):
            payloads = (record.payload for record in found.records if (look.file.index, record.start) >= shipped)
            waiting += sum(_session_of(payload) in session_ids for payload in payloads)
    return waiting


def _session_of(payload: bytes) -> str | None:
    try:
        return decode(payload).session_id
    except EventError:
        return None


def _in_words(removed: Removed) -> str:
    calls = removed.tool_calls + removed.model_calls
    parts = ((removed.sessions, "session"), (removed.messages, "message"), (calls, "call"), (removed.notes, "note"))
    return ", ".join(plural(number, noun) for number, noun in parts if number or noun == "session")


def _say(removed: Removed, settings: Settings, freed: int | None, what: str, *, as_json: bool, **facts: Any) -> None:
    if as_json:
        print_json({"database": shown_url(settings), **asdict(removed), "freed_bytes": freed, **facts})
        return
    click.echo(f"{_in_words(removed)} {what}")
    if freed:
        click.echo(f"{size(freed)} are free in the database for what is logged next; to give them back to the disk: VACUUM")
