"""`watch opencode`: a server's sessions into a database, as they happen."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import anyio
import click

from turso_hooks.cli.importer import identity_of, progress_file
from turso_hooks.cli.opencode.screen import Screen
from turso_hooks.cli.options import database_option, settings_for, shown_url
from turso_hooks.cli.text import one_line, visible
from turso_hooks.errors import AgentServerError, DatabaseUnavailable
from turso_hooks.events import Event
from turso_hooks.manager import build_plugin_manager
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings

_FOLDER = "opencode"
_SAVE_EVERY_S = 5.0


@click.command("opencode")
@click.option("--url", default="http://127.0.0.1:4096", show_default=True, help="The server.")
@database_option
def watch_opencode_command(url: str, database_url: str | None) -> None:
    """Log what happens on an OpenCode server, whoever talks to it: `opencode serve`, or any `opencode --port 4096`.

    What is there already is logged first, and what happens while the server cannot be reached when it is back. The password is
    that in OPENCODE_SERVER_PASSWORD. Ctrl-C or SIGTERM ends it, with 0.
    """
    settings = settings_for(database_url)
    known = _Known(settings, url)
    recorder = Recorder(settings)
    try:
        with Screen() as screen:
            screen.say(f"following {visible(url)} into {one_line(shown_url(settings))}")
            emit = build_plugin_manager(recorder).emit

            def log(event: Event) -> None:
                emit(event)
                screen.show(event)

            error = anyio.run(_watch, url, log, recorder, known, screen)
            if error is not None:
                raise error
            screen.say("stopped")
    finally:
        shipped = recorder.close(settings.exit_timeout_s)
    if not shipped.is_complete:
        click.echo(f"{shipped.waiting:,} events wait in the journal: {visible(shipped.problem)}", err=True)


async def _watch(
    url: str, log: Callable[[Event], object], recorder: Recorder, known: _Known, screen: Screen
) -> AgentServerError | None:
    from turso_hooks.adapters.opencode.server import server_from  # noqa: PLC0415  # needs an extra
    from turso_hooks.adapters.opencode.watching import Watcher  # noqa: PLC0415

    error: AgentServerError | None = None
    async with server_from(url, os.environ) as server:
        watcher = Watcher(server, log, recorder.count, since=known.since, tell=screen.tell)
        async with anyio.create_task_group() as group:

            async def follow() -> None:
                nonlocal error
                try:
                    await watcher.run()
                except AgentServerError as refusal:
                    error = refusal
                    group.cancel_scope.cancel()

            async def wait_for_signal() -> None:
                with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                    async for _ in signals:
                        group.cancel_scope.cancel()

            async def remember() -> None:
                while True:
                    await anyio.sleep(_SAVE_EVERY_S)
                    if watcher.caught_up.is_set():
                        known.save(watcher.since)

            for task in (follow, wait_for_signal, remember):
                group.start_soon(task)
        watcher.finish()
        if watcher.caught_up.is_set():
            known.save(watcher.since)
    return error


class _Known:
    """Up to when what a server says is in a database: kept in a file, for the next time."""

    def __init__(self, settings: Settings, url: str) -> None:
        self._path = progress_file(settings, _FOLDER)
        self._url = url
        self.since: datetime | None = None
        self._identity: str | None = None
        try:
            self._identity, is_empty = identity_of(settings)
        except DatabaseUnavailable as error:  # what happens waits in the journal until it can be reached
            click.echo(visible(error), err=True)
            return
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(self._path.read_bytes())
            if kept["database"] == self._identity and not is_empty:
                self.since = datetime.fromisoformat(kept["servers"][url])

    def save(self, since: datetime | None) -> None:
        """Keep it. What is written is whole, or not there."""
        if since is None or self._identity is None or since == self.since:
            return
        self.since = since
        servers = {}
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(self._path.read_bytes())
            servers = dict(kept["servers"]) if kept["database"] == self._identity else {}
        servers[self._url] = since.isoformat()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beginning = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        beginning.write_text(json.dumps({"database": self._identity, "servers": servers}), encoding="ascii")
        beginning.chmod(0o600)
        beginning.replace(self._path)
