"""`journal segments` and `journal records`: what is in the journal's files."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from turso_hooks.cli.options import database_option, json_option, print_json, print_json_line, settings_for
from turso_hooks.cli.text import is_terminal, one_line, plural, size, visible
from turso_hooks.drivers import parse_database_url
from turso_hooks.errors import EventError, describe
from turso_hooks.events import decode
from turso_hooks.events.marks import plain
from turso_hooks.journal import JournalFolder, look_into, slices_of
from turso_hooks.settings import Settings
from turso_hooks.shipping.counts import decode_tally


@dataclass(frozen=True)
class SegmentInfo:
    """What `journal segments --json` prints of a file."""

    path: Path
    writer_id: str
    number: int
    is_held: bool
    """Its writer has it, or a shipper."""
    size_bytes: int
    records: int
    damages: int


@click.command("segments", short_help="List the files of the journal.")
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
        yield SegmentInfo(file.path, file.writer_id, file.index, look.is_held, size_bytes, records, damages)


@click.command("records", short_help="Print the records in the journal as JSON Lines.")
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
                print_json_line(place | content_of(record.payload))
    if damages:
        click.echo(f"passed over: {plural(damages, 'damaged stretch', 'damaged stretches')}", err=True)
    _name_unreadable(folder)


def content_of(payload: bytes) -> dict[str, Any]:
    """What a record says, for a line of JSON."""
    tally = decode_tally(payload)
    if tally is not None:
        return {"counts": dict(tally)}
    try:
        return {"event": plain(decode(payload), for_json=True)}
    except EventError as error:
        return {"unreadable": describe(error), "base64": b64encode(payload).decode("ascii")}


def _folder(settings: Settings) -> JournalFolder:
    return JournalFolder(settings.state_folder, parse_database_url(settings.database_url or "").name)


def _name_unreadable(folder: JournalFolder) -> None:
    for path in sorted(folder.unreadable):
        click.echo(f"cannot be opened: {visible(path)}", err=True)
