"""`import`: foreign conversations, through the same hooks as live ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import click

from turso_hooks.cli.claude_code import import_claude_code_command
from turso_hooks.cli.foreign_files import Foreign, default_llm_file, llm_conversations, openai_agents_sessions
from turso_hooks.cli.importer import Importer, say_counts, say_lost
from turso_hooks.cli.opencode import import_opencode_command
from turso_hooks.cli.options import database_option, json_option, print_json, settings_for
from turso_hooks.cli.text import one_line, plural, visible
from turso_hooks.errors import EventError, TranscriptError
from turso_hooks.events import Event, MessageAdded, ToolCallFinished, ToolCallStarted, decode_json
from turso_hooks.settings import Settings
from turso_hooks.transcripts import openai_chat

_SHOWN_PROBLEMS = 20


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


import_command.add_command(import_claude_code_command)
import_command.add_command(import_opencode_command)


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
    recorded_at = _recorded_at(file)
    try:
        with _reading(file) as lines:
            result = import_openai_chat(settings, lines, recorded_at)
    except TranscriptError as error:
        raise TranscriptError(f"cannot import {file}: {error}") from error
    _say(result, file, as_json=as_json)


def _say(result: ImportResult, file: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        counted = (plural(result.sessions, "session"), plural(result.messages, "message"))
        click.echo(f"{', '.join(counted)} and {plural(result.tool_calls, 'tool call')} are in {one_line(result.database)}")
        say_counts(result.counts)
    for problem in result.unreadable[:_SHOWN_PROBLEMS]:
        click.echo(visible(f"{file}: {problem}"), err=True)
    if len(result.unreadable) > _SHOWN_PROBLEMS:
        click.echo(f"and {len(result.unreadable) - _SHOWN_PROBLEMS:,} more: --json has all of them", err=True)
    if say_lost(result.counts) or result.unreadable:
        raise click.exceptions.Exit(1)


@import_command.command("jsonl")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@database_option
@json_option
def jsonl_command(file: Path, database_url: str | None, as_json: bool) -> None:
    """Import events as `export jsonl` writes them: a line of JSON each."""
    with _reading(file) as lines:
        result = import_events(settings_for(database_url), lines)
    _say(result, file, as_json=as_json)


def import_events(settings: Settings, lines: Iterator[bytes]) -> ImportResult:
    """Import the events in `lines`. Raises `DatabaseError` if they could not be shipped."""
    sessions: set[str] = set()
    with Importer(settings) as importer:
        result = ImportResult(importer.database)
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                event = decode_json(line)
            except EventError as error:
                result.unreadable.append(f"line {number}: {error}")
                continue
            importer.emit(event)
            sessions.add(event.session_id)
            result.messages += isinstance(event, MessageAdded)
            result.tool_calls += isinstance(event, (ToolCallStarted, ToolCallFinished))
        importer.ship()
    result.sessions = len(sessions)
    result.counts = importer.counts
    return result


@import_command.command("openai-agents")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@database_option
@json_option
def openai_agents_command(file: Path, database_url: str | None, as_json: bool) -> None:
    """Import the sessions of an SQLiteSession of the OpenAI Agents SDK.

    What has no word in chat messages, such as a web search, is kept beside its message, in `metadata`.
    """
    result = import_foreign(settings_for(database_url), openai_agents_sessions(file), _recorded_at(file))
    _say(result, file, as_json=as_json)


@import_command.command("llm")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@database_option
@json_option
def llm_command(file: Path | None, database_url: str | None, as_json: bool) -> None:
    """Import what the program llm has logged, with what its models used: by default from where it keeps that.

    Attachments are left where they are.
    """
    path = file or default_llm_file(os.environ)
    if not path.is_file():
        raise click.UsageError(f"{path} is not there: name the file logs.db of llm")
    result = import_foreign(settings_for(database_url), llm_conversations(path), _recorded_at(path))
    _say(result, path, as_json=as_json)


def import_foreign(settings: Settings, conversations: Iterator[Foreign], recorded_at: datetime) -> ImportResult:
    """Import conversations of other programs. Raises `TranscriptError`, or `DatabaseError` if they could not be shipped."""
    reader = openai_chat.Reader(recorded_at)
    with Importer(settings) as importer:
        result = ImportResult(importer.database)
        for found in conversations:
            events = _events(reader, (found.place, found.conversation), result)
            for event in (*events, *(found.events if events else ())):
                importer.emit(event)
            _count(result, events)
        importer.ship()
    result.counts = importer.counts
    return result


def _recorded_at(file: Path) -> datetime:
    return datetime.fromtimestamp(file.stat().st_mtime, timezone.utc)


def import_openai_chat(settings: Settings, lines: Iterator[bytes], recorded_at: datetime) -> ImportResult:
    """Import the conversations in `lines`. Raises `TranscriptError`, or `DatabaseError` if they could not be shipped."""
    reader = openai_chat.Reader(recorded_at)
    with Importer(settings) as importer:
        result = ImportResult(importer.database)
        for found in openai_chat.conversations(lines):
            events = _events(reader, found, result)
            for event in events:
                importer.emit(event)
            _count(result, events)
        importer.ship()
    result.counts = importer.counts
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
