"""`import opencode`: past sessions, from OpenCode's file or from a server."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import click

from turso_hooks.cli.importer import Importer, say_counts, say_lost
from turso_hooks.cli.opencode.file import OpenCodeFile, default_file
from turso_hooks.cli.options import database_option, json_option, print_json, settings_for
from turso_hooks.cli.text import one_line, plural, visible
from turso_hooks.errors import TranscriptError
from turso_hooks.events import Event, MessageAdded, ToolCallFinished, ToolCallStarted, utc_now
from turso_hooks.settings import Settings
from turso_hooks.transcripts.opencode import Reader

Session = tuple[Mapping[str, Any], list[Mapping[str, Any]]]
"""Its `info`, and its messages."""


@dataclass
class OpenCodeImport:
    """What `import opencode --json` prints."""

    database: str
    sessions: int = 0
    messages: int = 0
    tool_calls: int = 0
    not_understood: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@click.command("opencode")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--url", help="A running server to read from instead, such as http://127.0.0.1:4096.")
@database_option
@json_option
def import_opencode_command(file: Path | None, url: str | None, database_url: str | None, as_json: bool) -> None:
    """Import past sessions of OpenCode.

    FILE is the database that OpenCode keeps, by default that of this user (opencode.db); it is only read, and may be in use.
    The password of a server is that in OPENCODE_SERVER_PASSWORD.
    """
    if file is not None and url is not None:
        raise click.UsageError("name a FILE or a --url, not both.")
    settings = settings_for(database_url)
    result = anyio.run(_import, settings, _of_server(url) if url is not None else _of_file(_given(file)))
    if as_json:
        print_json(result)
    else:
        counted = f"{plural(result.sessions, 'session')}, {plural(result.messages, 'message')}"
        click.echo(f"{counted} and {plural(result.tool_calls, 'tool call')} are in {one_line(result.database)}")
        say_counts(result.counts)
        for what, number in sorted(result.not_understood.items()):
            click.echo(f"not understood: {number:,} x {visible(what)}", err=True)
    if say_lost(result.counts):
        raise click.exceptions.Exit(1)


def _given(file: Path | None) -> Path:
    found = file or default_file(os.environ)
    if not found.exists():
        raise TranscriptError(f"there are no sessions of OpenCode in {found}: name its opencode.db, or a server by --url")
    return found


async def _import(settings: Settings, sessions: AsyncIterator[Session]) -> OpenCodeImport:
    reader = Reader(utc_now())
    with Importer(settings) as importer, _progress() as advance:
        result = OpenCodeImport(importer.database)
        async for info, messages in sessions:
            events = reader.session(info)
            for message in messages:
                events += reader.message(message)
            for event in events:
                importer.emit(event)
            _count(result, events)
            advance()
        importer.ship()
        result.counts, result.not_understood = importer.counts, dict(reader.not_understood)
    return result


def _count(result: OpenCodeImport, events: list[Event]) -> None:
    result.sessions += bool(events)
    result.messages += sum(isinstance(event, MessageAdded) for event in events)
    result.tool_calls += sum(isinstance(event, (ToolCallStarted, ToolCallFinished)) for event in events)


async def _of_file(file: Path) -> AsyncIterator[Session]:
    opened = OpenCodeFile(file)
    for info in opened.sessions():
        yield info, opened.messages(info["id"])


async def _of_server(url: str) -> AsyncIterator[Session]:
    from turso_hooks.adapters.opencode.server import server_from  # noqa: PLC0415  # needs an extra

    async with server_from(url, os.environ) as server:
        async for info in server.sessions():
            yield info, await server.messages(str(info.get("id")))


@contextmanager
def _progress() -> Iterator[Callable[[], object]]:
    """Told of each session; shows how many there were if a person is looking."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    with click.progressbar(length=None, label="Importing", file=sys.stderr, show_pos=True) as bar:  # type: ignore[var-annotated]  # of nothing
        yield lambda: bar.update(1)
    click.echo(err=True)
