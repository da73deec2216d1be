"""`verify`: whether every recorded event is accounted for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from typing import Any

import click

from turso_hooks.cli.options import database_option, json_option, print_json, settings_for
from turso_hooks.cli.text import one_line, plural
from turso_hooks.drivers import Database
from turso_hooks.journal import JournalFolder
from turso_hooks.settings import Settings
from turso_hooks.shipping import KEPT_OTHERWISE, NO_EVENTS, REFUSED, Books, WriterBooks, read_books
from turso_hooks.store import FIRST_WITH_STATISTICS, Gap, differences, open_store, schema_version, target_of

_BUSY_S = 5.0
"""How long a database that is locked is waited for."""

_SHOWN_GAPS = 20
"""The gaps shown to a person, the latest ones; `--json` has all of them."""

_MOST_DIFFERENCES = 10

_TOTALS = ("numbers", "shipped", "waiting", "missing", "damaged", "refused", "unaccounted")


@click.command("verify")
@database_option
@click.option("--journal-only", is_flag=True, help="Do not count all that was logged to compare it with the statistics.")
@json_option
def verify_command(database_url: str | None, journal_only: bool, as_json: bool) -> int:
    """Add up whether every recorded event is accounted for.

    Every record of a journal has a number. What came to the database, what waits here and what is missing must add up, and
    what is missing must have a reason. Statistics must be what a full count gives: for that all that was logged is read. Exits
    with 1 if that is not so. Nothing is changed or waited for.
    """
    settings = settings_for(database_url)
    books = _read(settings, with_statistics=not journal_only)
    if as_json:
        print_json(_plain(books))
    else:
        click.echo("\n".join(_lines(books)))
    return 1 if books.problems else 0


def _read(settings: Settings, *, with_statistics: bool) -> Books:
    target = target_of(settings)
    folder = JournalFolder(settings.state_folder, target.name)
    if target.path is not None and not os.path.exists(target.path):  # noqa: PTH110  # Path.exists raises where it may not look
        books = read_books(folder, None)
        books.unseen.append("the database: its file is not there, or not yet")
        return books
    with open_store(settings, target, read_only=True, busy_timeout_s=_BUSY_S) as database:
        books = read_books(folder, database)
        if with_statistics:
            _compare_statistics(books, database)
        return books


def _compare_statistics(books: Books, database: Database) -> None:
    if schema_version(database) < FIRST_WITH_STATISTICS:
        books.unseen.append("statistics: the database is of a version that has none")
        return
    found = list(islice(differences(database), _MOST_DIFFERENCES))
    books.problems += [f"statistics are not what a full count gives: {each}" for each in found]
    if found:
        books.problems.append("to count everything anew: turso-hooks recount --anew")


def _plain(books: Books) -> dict[str, Any]:
    return {
        "database": books.target,
        "balanced": not books.problems,
        **{name: books.total(name) for name in _TOTALS},
        "dead_letters": books.dead_letters,
        "counts": books.counts,
        "gaps": [_plain_gap(writer, gap) for writer in books.writers for gap in writer.gaps],
        "writers": [_plain_writer(writer) for writer in books.writers],
        "problems": books.problems,
        "unseen": books.unseen,
    }


def _plain_gap(writer: WriterBooks, gap: Gap) -> dict[str, Any]:
    return {"writer_id": writer.writer_id, "first": gap.first, "last": gap.last, "reason": gap.reason, "sessions": gap.sessions}


def _plain_writer(writer: WriterBooks) -> dict[str, Any]:
    return {"writer_id": writer.writer_id, **{name: getattr(writer, name) for name in _TOTALS}, "is_here": writer.is_here}


def _lines(books: Books) -> Iterator[str]:
    yield one_line(books.target)
    for name, value in _facts(books):
        yield f"  {name:<15} {one_line(value)}"
    gaps = [(writer, gap) for writer in books.writers for gap in writer.gaps]
    if gaps:
        yield ""
        yield f"  {'missing of writer':<32}  {'numbers':<21}  {'reason':<8}  between records of the sessions"
        for writer, gap in gaps[-_SHOWN_GAPS:]:
            yield f"  {_gap_line(writer, gap)}"
    if len(gaps) > _SHOWN_GAPS:
        yield f"  and {len(gaps) - _SHOWN_GAPS:,} earlier ones: --json"
    yield ""
    for problem in books.problems:
        yield f"not in order: {one_line(problem)}"
    yield "the books do not balance" if books.problems else "the books balance"


def _facts(books: Books) -> Iterator[tuple[str, str]]:
    yield "given out", f"{plural(books.total('numbers'), 'number')} by {plural(len(books.writers), 'writer')}"
    yield "shipped", plural(books.total("shipped"), "record")
    yield "waiting", plural(books.total("waiting"), "record")
    yield "missing", plural(books.total("missing"), "number") + _of_them(books)
    counted = sorted(books.counts.keys() - KEPT_OTHERWISE - NO_EVENTS - REFUSED - {"damaged"})
    if counted:
        yield "not recorded", ", ".join(f"{books.counts[reason]:,} {reason}" for reason in counted)
    if books.dead_letters:
        yield "dead letters", f"{books.dead_letters:,}, see: turso-hooks journal dead-letters"
    for unseen in books.unseen:
        yield "not seen", unseen


def _of_them(books: Books) -> str:
    """Why numbers are missing, as far as that is known."""
    refused = books.total("missing") - books.total("damaged") - books.total("unaccounted")
    parts = (
        (books.total("damaged"), "where the journal was damaged"),
        (refused, "refused by the journal"),
        (books.total("unaccounted"), "for no known reason"),
    )
    said = ", ".join(f"{number:,} {why}" for number, why in parts if number)
    return f": {said}" if said else ""


def _gap_line(writer: WriterBooks, gap: Gap) -> str:
    numbers = f"{gap.first:,}" if gap.numbers == 1 else f"{gap.first:,}-{gap.last:,}"
    return one_line(f"{writer.writer_id:<32}  {numbers:<21}  {gap.reason or '?':<8}  {', '.join(gap.sessions)}").rstrip()
