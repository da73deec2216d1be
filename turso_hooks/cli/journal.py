"""`journal`: its files, its records, and the dead letters that came of them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import msgspec

from turso_hooks.cli.options import database_file, database_option, json_option, prepared, print_json, settings_for
from turso_hooks.cli.text import is_terminal, one_line, plural, size, visible
from turso_hooks.drivers import EmbeddedDatabase, parse_database_url
from turso_hooks.errors import DatabaseUnusable, EventError, describe
from turso_hooks.events import decode, hook_name
from turso_hooks.events.marks import plain
from turso_hooks.journal import JournalFolder, look_into, slices_of
from turso_hooks.settings import Settings
from turso_hooks.shipping.counts import decode_tally
from turso_hooks.store import (
    StoredDeadLetter,
    discard_dead_letter,
    read_dead_letter,
    read_dead_letters,
    retry_dead_letter,
)


@click.group("journal")
def journal_command() -> None:
    """Look into the journal of a database, and see to its dead letters."""


@dataclass(frozen=True)
class SegmentInfo:
    """What `journal segments --json` prints of a file."""

    path: Path
    writer_id: str
    number: int
    is_inbox: bool
    is_held: bool
    """Its writer has it, or a shipper."""
    size_bytes: int
    records: int
    damages: int


@journal_command.command("segments")
@database_option
@json_option
def segments_command(database_url: str | None, as_json: bool) -> None:
    """List the files of the journal, the oldest writer first.

    In a pipe: one a line, fields separated by tabs: path, records, bytes, damaged stretches, `held` or `free`.
    """
    folder = _folder(settings_for(database_url))
    found = list(_segments(folder))
    if as_json:
        print_json(found)
    elif is_terminal():
        _show_segments(folder, found)
    else:
        for info in found:
            held = "held" if info.is_held else "free"
            click.echo("\t".join([one_line(info.path), str(info.records), str(info.size_bytes), str(info.damages), held]))
    _name_unreadable(folder)


def _show_segments(folder: JournalFolder, found: list[SegmentInfo]) -> None:
    click.echo(f"{visible(folder.path)}: {plural(len(found), 'file')}")
    for info in found:
        facts = [f"{plural(info.records, 'record'):>18}", f"{size(info.size_bytes):>10}", "held" if info.is_held else "free"]
        damaged = [f"{info.damages:,} damaged"] if info.damages else []
        click.echo("  ".join(["", info.path.name, *facts, *damaged]))


def _segments(folder: JournalFolder) -> Iterator[SegmentInfo]:
    for look in look_into(folder):
        records = damages = 0
        for found in slices_of(look.segment):
            records += len(found.records)
            damages += found.damages
        file, size_bytes = look.file, look.segment.size
        yield SegmentInfo(file.path, file.writer_id, file.index, file.is_inbox, look.is_held, size_bytes, records, damages)


@journal_command.command("records")
@database_option
@click.option("--json", is_flag=True, expose_value=False, help="Print JSON Lines, as it does without this too.")
def records_command(database_url: str | None) -> None:
    """Print the records in the journal as JSON Lines, in the order in which they will be shipped.

    A line has `writer_id`, `segment`, `number`, `offset` and `bytes`, and then `event`; or `counts`, for a record that tells
    what was not kept; or `unreadable` (why) and `base64`. Nothing is taken from the journal. Shipped records are there until
    their file is deleted.
    """
    folder = _folder(settings_for(database_url))
    damages = 0
    for look in look_into(folder):
        for found in slices_of(look.segment):
            damages += found.damages
            for record in found.records:
                place = {"writer_id": look.file.writer_id, "segment": look.file.index, "number": record.number}
                place |= {"offset": record.start, "bytes": len(record.payload)}
                _print_line(place | _content(record.payload))
    if damages:
        click.echo(f"passed over: {plural(damages, 'damaged stretch', 'damaged stretches')}", err=True)
    _name_unreadable(folder)


@dataclass
class DeadLettersResult:
    """What `journal dead-letters --json` prints when something is done to them."""

    database: str
    retried: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    refused_again: dict[str, str] = field(default_factory=dict)
    """Id to reason."""
    not_there: list[str] = field(default_factory=list)


@journal_command.command("dead-letters")
@click.argument("letter_ids", metavar="[ID]...", nargs=-1)
@click.option("--retry", is_flag=True, help="Put them back: make them the rows they should have been.")
@click.option("--discard", is_flag=True, help="Throw them away.")
@click.option("--all", "is_all", is_flag=True, help="With --discard: all of them, if no ID is given.")
@database_option
@json_option
def dead_letters_command(  # noqa: PLR0913, PLR0917  # click passes each option by itself
    letter_ids: tuple[str, ...], retry: bool, discard: bool, is_all: bool, database_url: str | None, as_json: bool
) -> None:
    """Show the records that the database did not take, or that could not be read, and why; all, or those with an ID.

    --retry puts them back, after what was in the way is mended. What is refused again stays, with the new reason, and the
    command exits with 1. --discard throws them away, for good.
    """
    if retry and discard:
        raise click.UsageError("--retry and --discard exclude each other")
    if is_all and (letter_ids or not discard):
        raise click.UsageError("--all goes with --discard and without an ID")
    if discard and not (letter_ids or is_all):
        raise click.UsageError("to throw dead letters away name them by ID, or all of them by --all")
    settings = settings_for(database_url)
    path = database_file(settings)
    if not path.exists():
        raise DatabaseUnusable("read dead letters", f"file:{path}", "the file is not there", "name another with --db")
    if retry or discard:
        prepared(settings)
        result = see_to_dead_letters(settings, letter_ids, is_discarding=discard)
        _show_result(result, as_json=as_json)
        return
    with EmbeddedDatabase(path, read_only=True) as database:
        _show_letters(_chosen(database, letter_ids), letter_ids, as_json=as_json)


def see_to_dead_letters(settings: Settings, letter_ids: tuple[str, ...], *, is_discarding: bool) -> DeadLettersResult:
    """Put back or throw away the dead letters named, or all. Raises `DatabaseError`; what is done by then stays done."""
    with EmbeddedDatabase(database_file(settings)) as database:
        result = DeadLettersResult(database.name)
        for letter in _chosen(database, letter_ids):
            if is_discarding:
                discard_dead_letter(database, letter.id)
                result.discarded.append(letter.id)
            elif reason := retry_dead_letter(database, letter):
                result.refused_again[letter.id] = reason
            else:
                result.retried.append(letter.id)
    seen = {*result.retried, *result.discarded, *result.refused_again}
    result.not_there = [letter_id for letter_id in letter_ids if letter_id not in seen]
    return result


def _show_result(result: DeadLettersResult, *, as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        click.echo(f"{plural(len(result.retried), 'dead letter')} put back, {len(result.discarded):,} thrown away")
        for letter_id, reason in result.refused_again.items():
            click.echo(f"  {visible(letter_id)} stays: {one_line(reason)}")
    for letter_id in result.not_there:
        click.echo(f"there is no dead letter {visible(letter_id)} in {visible(result.database)}", err=True)
    if result.refused_again or result.not_there:
        raise click.exceptions.Exit(1)


def _show_letters(letters: Iterator[StoredDeadLetter], letter_ids: tuple[str, ...], *, as_json: bool) -> None:
    shown: set[str] = set()
    for letter in letters:
        shown.add(letter.id)
        if as_json:
            about = {"id": letter.id, "writer_id": letter.writer_id, "number": letter.number, "reason": letter.reason}
            _print_line(about | {"created_at": letter.created_at} | _content(letter.payload))
        else:
            fields = (letter.id, letter.created_at, _kind(letter.payload), letter.reason)
            click.echo("\t".join(one_line(entry) for entry in fields))
    missing = [letter_id for letter_id in letter_ids if letter_id not in shown]
    for letter_id in missing:
        click.echo(f"there is no dead letter {visible(letter_id)}", err=True)
    if missing:
        raise click.exceptions.Exit(1)
    if not shown:
        click.echo("there are no dead letters", err=True)


def _chosen(database: EmbeddedDatabase, letter_ids: tuple[str, ...]) -> Iterator[StoredDeadLetter]:
    if not letter_ids:
        yield from read_dead_letters(database)
    for letter_id in dict.fromkeys(letter_ids):
        letter = read_dead_letter(database, letter_id)
        if letter is not None:
            yield letter


def _folder(settings: Settings) -> JournalFolder:
    return JournalFolder(settings.state_folder, parse_database_url(settings.database_url or "").name)


def _content(payload: bytes) -> dict[str, Any]:
    """What a record says, for a line of JSON."""
    tally = decode_tally(payload)
    if tally is not None:
        return {"counts": dict(tally)}
    try:
        return {"event": plain(decode(payload), for_json=True)}
    except EventError as error:
        return {"unreadable": describe(error), "base64": b64encode(payload).decode("ascii")}


def _kind(payload: bytes) -> str:
    try:
        return hook_name(decode(payload))
    except EventError:
        return "unreadable"


def _print_line(value: dict[str, Any]) -> None:
    click.echo(msgspec.json.encode(value).decode())


def _name_unreadable(folder: JournalFolder) -> None:
    for path in sorted(folder.unreadable):
        click.echo(f"cannot be opened: {visible(path)}", err=True)
