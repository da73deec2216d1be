"""`journal dead-letters`: what the database did not take: shown, put back, thrown away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import click

from turso_hooks.cli.options import (
    database_option,
    json_option,
    prepared,
    print_json,
    print_json_line,
    settings_for,
)
from turso_hooks.cli.records import content_of
from turso_hooks.cli.text import one_line, plural, visible
from turso_hooks.drivers import Database
from turso_hooks.errors import DatabaseUnusable, EventError
from turso_hooks.events import decode, hook_name
from turso_hooks.settings import Settings
from turso_hooks.store import (
    StoredDeadLetter,
    discard_dead_letter,
    open_store,
    read_dead_letter,
    read_dead_letters,
    retry_dead_letter,
    target_of,
)


@dataclass
class DeadLettersResult:
    """What `journal dead-letters --json` prints when something is done to them."""

    database: str
    retried: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    refused_again: dict[str, str] = field(default_factory=dict)
    """Id to reason."""
    not_there: list[str] = field(default_factory=list)


@click.command("dead-letters", short_help="Show what the database did not take; put it back or throw it away.")
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
    target = target_of(settings)
    if target.path is not None and not target.path.exists():
        raise DatabaseUnusable("read dead letters", target.name, "the file is not there", "name another with --db")
    if retry or discard:
        prepared(settings)
        result = see_to_dead_letters(settings, letter_ids, is_discarding=discard)
        _show_result(result, as_json=as_json)
        return
    with open_store(settings, read_only=True) as database:
        _show_letters(_chosen(database, letter_ids), letter_ids, as_json=as_json)


def see_to_dead_letters(settings: Settings, letter_ids: tuple[str, ...], *, is_discarding: bool) -> DeadLettersResult:
    """Put back or throw away the dead letters named, or all. Raises `DatabaseError`; what is done by then stays done."""
    with open_store(settings) as database:
        result = DeadLettersResult(database.name)
        for letter in _chosen(database, letter_ids):
            if is_discarding:
                discard_dead_letter(database, letter.id)
                result.discarded.append(letter.id)
                continue
            with suppress(KeyError):  # somebody else has just seen to it
                reason = retry_dead_letter(database, letter)
                if reason is None:
                    result.retried.append(letter.id)
                else:
                    result.refused_again[letter.id] = reason
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
            print_json_line(about | {"created_at": letter.created_at} | content_of(letter.payload))
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


def _chosen(database: Database, letter_ids: tuple[str, ...]) -> Iterator[StoredDeadLetter]:
    if not letter_ids:
        yield from read_dead_letters(database)
    for letter_id in dict.fromkeys(letter_ids):
        letter = read_dead_letter(database, letter_id)
        if letter is not None:
            yield letter


def _kind(payload: bytes) -> str:
    try:
        return hook_name(decode(payload))
    except EventError:
        return "unreadable"
