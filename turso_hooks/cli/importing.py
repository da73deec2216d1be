"""`import`: foreign conversations, through the same hooks as live ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import click

from turso_hooks.cli.options import database_option, json_option, prepared, print_json, settings_for, shown_url
from turso_hooks.cli.text import one_line, plural, visible
from turso_hooks.errors import DatabaseError, TranscriptError
from turso_hooks.events import Event, MessageAdded, ToolCallStarted
from turso_hooks.manager import build_plugin_manager
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings
from turso_hooks.transcripts import openai_chat

_FLUSH_EVERY = 20_000
"""Events after which an import waits for the database, so that the journal does not grow with the file."""

_LOST = frozenset({"journal_full", "journal_unwritable", "journal_torn", "unencodable", "dead_letter", "redactor_failed"})
"""Counts that mean that something is not in the database that should be."""

_SHIP_TIMEOUT_S = 600.0


@dataclass
class ImportResult:
    """What `import --json` prints."""

    database: str
    sessions: int = 0
    messages: int = 0
    tool_calls: int = 0
    unreadable: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


@click.group("import")
def import_command() -> None:
    """Import conversations from files of other programs. Importing a file again changes nothing."""


@import_command.command("openai-chat")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@database_option
@json_option
def openai_chat_command(file: Path, database_url: str | None, as_json: bool) -> None:
    """Import chat messages as OpenAI's API has them.

    FILE is a JSON array or JSON Lines of {"messages": […], "metadata": {…}}, or of bare lists of messages. What says nothing
    about its time takes that of the file.
    """
    settings = settings_for(database_url)
    prepared(settings)
    recorded_at = datetime.fromtimestamp(file.stat().st_mtime, timezone.utc)
    try:
        with _reading(file) as lines:
            result = import_openai_chat(settings, lines, recorded_at)
    except TranscriptError as error:
        raise TranscriptError(f"cannot import {file}: {error}") from error
    if as_json:
        print_json(result)
    else:
        counted = (plural(result.sessions, "session"), plural(result.messages, "message"))
        click.echo(f"{', '.join(counted)} and {plural(result.tool_calls, 'tool call')} are in {one_line(result.database)}")
        for reason, number in sorted(result.counts.items()):
            click.echo(f"  {reason}: {number:,}")
    for problem in result.unreadable:
        click.echo(visible(f"{file}: {problem}"), err=True)
    lost = sum(number for reason, number in result.counts.items() if reason in _LOST)
    if lost:
        click.echo(
            f"turso-hooks: {plural(lost, 'event')} could not be kept, see the counts; mend that and import again", err=True
        )
    if result.unreadable or lost:
        raise click.exceptions.Exit(1)


def import_openai_chat(settings: Settings, lines: Iterator[bytes], recorded_at: datetime) -> ImportResult:
    """Import the conversations in `lines`. Raises `TranscriptError`, or `DatabaseError` if they could not be shipped."""
    recorder = Recorder(settings)
    manager = build_plugin_manager(recorder)
    reader = openai_chat.Reader(recorded_at)
    result = ImportResult(shown_url(settings))
    emitted = 0
    try:
        for found in openai_chat.conversations(lines):
            events = _events(reader, found, result)
            for event in events:
                manager.emit(event)
            _count(result, events)
            emitted += len(events)
            if emitted >= _FLUSH_EVERY:
                _ship(recorder, result)
                emitted = 0
        _ship(recorder, result)
    finally:
        recorder.close(settings.exit_timeout_s)
    return result


def _events(reader: openai_chat.Reader, found: openai_chat.Found, result: ImportResult) -> list[Event]:
    """The events of what was found in a file; none of what cannot be read, which is noted."""
    if isinstance(found, openai_chat.Unreadable):
        result.unreadable.append(f"{found.place}: {found.problem}")
        return []
    place, conversation = found
    try:
        return reader.events(conversation)
    except TranscriptError as error:
        result.unreadable.append(f"{place}: {error}")
        return []


def _count(result: ImportResult, events: list[Event]) -> None:
    result.sessions += bool(events)
    result.messages += sum(isinstance(event, MessageAdded) for event in events)
    result.tool_calls += sum(isinstance(event, ToolCallStarted) for event in events)


def _ship(recorder: Recorder, result: ImportResult) -> None:
    shipped = recorder.flush(_SHIP_TIMEOUT_S)
    result.counts = {**shipped.counts, **({"dead_letter": shipped.dead_letters} if shipped.dead_letters else {})}
    if not shipped.is_complete:
        problem = f"{shipped.problem or 'it takes too long'}; {plural(shipped.waiting, 'event')} wait in the journal"
        raise DatabaseError("import", result.database, problem, "run turso-hooks drain when it is mended")


@contextmanager
def _reading(file: Path) -> Iterator[Iterator[bytes]]:
    """The lines of a file, with a progress bar if a person is looking."""
    with file.open("rb") as opened:
        if not sys.stderr.isatty():
            yield iter(opened)
            return
        with click.progressbar(length=file.stat().st_size, label=f"Importing {one_line(file.name)}", file=sys.stderr) as bar:
            yield _with_progress(opened, bar.update)


def _with_progress(lines: Iterable[bytes], advance: Callable[[int], None]) -> Iterator[bytes]:
    for line in lines:
        yield line
        advance(len(line))
