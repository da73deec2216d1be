"""`watch opencode`: a server's sessions into a database, as they happen."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio
import click

from turso_hooks.cli.importer import is_losing
from turso_hooks.cli.opencode.known import Known
from turso_hooks.cli.opencode.screen import Screen
from turso_hooks.cli.opencode.server import server_at
from turso_hooks.cli.options import database_option, settings_for, shown_url
from turso_hooks.cli.text import one_line, plural, remark, visible
from turso_hooks.errors import AgentServerError
from turso_hooks.events import Event
from turso_hooks.manager import build_plugin_manager
from turso_hooks.plugin import Recorder

if TYPE_CHECKING:
    from turso_hooks.adapters.opencode import OpenCodeServer

_SAVE_EVERY_S = 5.0


@click.command("opencode")
@click.option("--url", default="http://127.0.0.1:4096", show_default=True, help="The server.")
@database_option
def watch_opencode_command(url: str, database_url: str | None) -> None:
    """Log what happens on an OpenCode server, whoever talks to it.

    What is there already is logged first, and what happens while the server cannot be reached when it is back. The password is
    that in OPENCODE_SERVER_PASSWORD. Ctrl-C or SIGTERM ends it, with 0.
    """
    settings = settings_for(database_url)
    server = server_at(url)
    known = Known(settings, server.base_url)
    recorder = Recorder(settings)
    emit = build_plugin_manager(recorder).emit
    try:
        with Screen() as screen:
            screen.say(f"following {visible(server.base_url)} into {one_line(shown_url(settings))}")

            def log(event: Event) -> None:
                emit(event)
                screen.show(event)

            anyio.run(_watch, server, log, recorder, known, screen.tell)
            screen.say("stopped")
    finally:
        shipped = recorder.close(settings.exit_timeout_s)
        if not shipped.is_complete:
            what = f"{plural(shipped.waiting, 'event')} wait in the journal"
            remark(f"{what}: {visible(shipped.problem)}; turso-hooks drain ships them")


async def _watch(
    server: OpenCodeServer,
    log: Callable[[Event], object],
    recorder: Recorder,
    known: Known,
    tell: Callable[[str | None], object],
) -> None:
    """Follow the server until a signal comes. Raises `AgentServerError` if it refuses, and will again."""
    from turso_hooks.adapters.opencode import Watcher  # noqa: PLC0415  # needs an extra

    refusals: list[AgentServerError] = []
    async with server:
        watcher = Watcher(server, log, recorder.count, progress=known.progress, tell=tell)

        def save() -> None:
            if watcher.caught_up.is_set() and not is_losing(recorder.counts()):
                known.save(watcher.progress)

        async def follow(scope: anyio.CancelScope) -> None:
            try:
                await watcher.run()
            except AgentServerError as error:
                refusals.append(error)
                scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(follow, group.cancel_scope)
            group.start_soon(_cancel_on_signal, group.cancel_scope)
            group.start_soon(_now_and_then, save)
        await watcher.finish()
        save()
    for error in refusals:
        raise error


async def _cancel_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


async def _now_and_then(save: Callable[[], object]) -> None:
    while True:
        await anyio.sleep(_SAVE_EVERY_S)
        save()
