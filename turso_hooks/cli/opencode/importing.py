"""`import opencode`: past sessions, from OpenCode's file or from a server."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import click
from typing_extensions import Self

from turso_hooks.cli.importer import Importer, is_losing, say_counts, say_lost
from turso_hooks.cli.opencode.file import OpenCodeFile, default_file
from turso_hooks.cli.opencode.known import Known
from turso_hooks.cli.opencode.server import server_at
from turso_hooks.cli.options import database_option, json_option, print_json, settings_for
from turso_hooks.cli.text import one_line, plural, visible
from turso_hooks.errors import AgentServerFailed, TranscriptError
from turso_hooks.events import MessageAdded, ToolCallFinished, ToolCallStarted, utc_now
from turso_hooks.settings import Settings
from turso_hooks.transcripts.opencode import Progress, Reader

_OVERLAP = timedelta(seconds=10)
"""So much more is read than what has changed: a change is not there at the time that it names, but a little later."""


@dataclass
class OpenCodeImport:
    """What `import opencode --json` prints."""

    database: str
    sessions: int = 0
    unchanged: int = 0
    messages: int = 0
    tool_calls: int = 0
    failed: list[str] = field(default_factory=list)
    """Why sessions could not be read."""
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
    result = anyio.run(_of_server, settings, url) if url is not None else _of_file(settings, _given(file))
    if as_json:
        print_json(result)
    else:
        counted = f"{plural(result.sessions, 'session')}, {plural(result.messages, 'message')}"
        counted = f"{counted} and {plural(result.tool_calls, 'tool call')} are in {one_line(result.database)}"
        click.echo(f"{counted}; {plural(result.unchanged, 'session')} had not changed")
        say_counts(result.counts)
        for what, number in sorted(result.not_understood.items()):
            click.echo(f"not understood: {number:,} x {visible(what)}", err=True)
    for problem in result.failed:
        click.echo(visible(problem), err=True)
    if say_lost(result.counts) or result.failed:
        raise click.exceptions.Exit(1)


def _given(file: Path | None) -> Path:
    found = file or default_file(os.environ)
    if not found.exists():
        raise TranscriptError(f"there are no sessions of OpenCode in {found}: name its opencode.db, or a server by --url")
    return found


def _of_file(settings: Settings, file: Path) -> OpenCodeImport:
    """Import what has changed in a file since the last time."""
    known = Known(settings, str(file.absolute()))
    with _Importing(settings) as importing:
        opened = OpenCodeFile(file)
        sessions = list(opened.sessions())
        is_same = any(info["id"] == known.progress.session_id for info, _ in sessions)
        since = known.progress.since if is_same else None
        for info, changed in sessions:
            if since is not None and changed < since - _OVERLAP:
                importing.result.unchanged += 1
            else:
                importing.add(info, opened.messages(info["id"]))
        result = importing.finish()
    if sessions and not is_losing(result.counts):
        info, changed = sessions[-1]
        known.save(Progress(changed, info["id"]))
    return result


async def _of_server(settings: Settings, url: str) -> OpenCodeImport:
    """Import everything that is on a server, which does not say of a session when the last of it changed."""
    async with server_at(url) as server:
        with _Importing(settings) as importing:
            sessions: dict[str, Mapping[str, Any]] = {}
            for _ in range(2):  # one that changed while they were listed may have been left out, but not twice
                async for info in server.sessions():
                    sessions[str(info.get("id"))] = info
            for session_id, info in sessions.items():
                with importing.noting_failures():
                    importing.add(info, await server.messages(session_id))
            return importing.finish()


class _Importing:
    """One import, session by session; as a context."""

    def __init__(self, settings: Settings) -> None:
        self._stack = ExitStack()
        self._importer = self._stack.enter_context(Importer(settings))
        self._advance = self._stack.enter_context(_progress())
        self._reader = Reader(utc_now())
        self.result = OpenCodeImport(self._importer.database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, info: Mapping[str, Any], messages: list[Mapping[str, Any]]) -> None:
        events = self._reader.session(info)
        for message in messages:
            events += self._reader.message(message)
        for event in events:
            self._importer.emit(event)
        self.result.sessions += bool(events)
        self.result.messages += sum(isinstance(event, MessageAdded) for event in events)
        self.result.tool_calls += sum(isinstance(event, (ToolCallStarted, ToolCallFinished)) for event in events)
        self._advance()

    @contextmanager
    def noting_failures(self) -> Iterator[None]:
        """What a server fails to answer is kept for the result, and the rest goes on."""
        try:
            yield
        except AgentServerFailed as error:
            self.result.failed.append(str(error))

    def finish(self) -> OpenCodeImport:
        """Wait until all of it is in the database."""
        self._importer.ship()
        self.result.counts, self.result.not_understood = self._importer.counts, dict(self._reader.not_understood)
        return self.result


@contextmanager
def _progress() -> Iterator[Callable[[], object]]:
    """Told of each session; shows how many there were if a person is looking."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    with click.progressbar(length=None, label="Importing", file=sys.stderr, show_pos=True) as bar:  # type: ignore[var-annotated]  # of nothing
        yield lambda: bar.update(1)
    click.echo(err=True)
