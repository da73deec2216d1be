"""Following a server: what its stream says has changed is read from the server, and what was missed is read when it is back.

The stream only tells where to look. So it makes no difference whether an event of it comes, comes twice or is lost: what is
logged is what the server itself answers. There is one exception: of an answer that the model has not finished the server tells
what has come so far only in the stream, which matters if the server dies before the end.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import anyio

from turso_hooks.adapters.opencode.answers import Answer, time_of
from turso_hooks.adapters.opencode.log import Log, forget
from turso_hooks.adapters.opencode.server import OpenCodeServer
from turso_hooks.errors import AgentServerError, AgentServerFailed, AgentServerUnreachable, describe
from turso_hooks.events import Event, utc_now
from turso_hooks.transcripts.anthropic import mapping_of, text_of
from turso_hooks.transcripts.opencode import Progress, asked, is_whole, is_whole_part, retried

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 10.0
_GONE_AFTER_S = 5.0
"""A server that cannot be reached for so long is gone, and with it what was under way."""

_LAST_LOOK_S = 3.0
"""So long a program waits at most for its log when it ends."""

_DEAD_AFTER = timedelta(days=1)
"""An answer that was begun so long ago and is not whole will never be, and a question without any will get none."""

_OVERLAP = timedelta(seconds=10)
"""So much more is read than what changed since a server's last word: what it says and what it writes are not of one moment."""

_MOST_SESSIONS = 10_000
_MOST_DIRECTORIES = 1000
"""Limits to what is remembered: far more than there is at once, and so little that a server without end does no harm."""


class Watcher:
    """Makes events of whatever happens on a server, and gives them to `emit`.

    What is known by `progress` is left alone. `tell` is called with each trouble with the server, once, and with None when it
    is over. A fault in here is given to `count`, and ends nothing.
    """

    def __init__(
        self,
        server: OpenCodeServer,
        emit: Callable[[Event], object],
        count: Callable[[str], object],
        *,
        progress: Progress,
        tell: Callable[[str | None], object] = lambda _: None,
    ) -> None:
        self.caught_up = anyio.Event()
        """Set once everything that was there is logged."""
        self._since = progress.since
        self._witness = progress.session_id
        self._server = server
        self._log = Log(emit, count)
        self._tell = tell
        self._trouble: str | None = None
        self._reached_at = 0.0
        self._was_reached = False
        self._to_read: dict[str, Mapping[str, Any]] = {session_id: {} for session_id in progress.unfinished}
        """Sessions of which something may have been missed, by their id, with their `info`."""
        self._were_read: dict[str, None] = {}
        """Sessions that were read on this connection: of these a change is all that may be missing."""
        self._changed: dict[tuple[str, str], None] = {}
        """Messages of theirs that have changed, by session and message."""
        self._failed: dict[str, None] = {}
        """Sessions of which the server failed to give something: to be tried again on the next connection."""
        self._newest: datetime | None = None
        """The time of the last change of which the stream has told."""
        self._wake = anyio.Event()
        self._directories: dict[str, None] = {}
        """Those of which the stream has told."""
        self._is_to_look_after = False

    @property
    def progress(self) -> Progress:
        """How far the server was read: what a later watcher need not read again."""
        return Progress(self._since, self._witness, self._unfinished())

    async def run(self) -> None:
        """Follow the server until cancelled. Raises `AgentServerError` if it refuses, and will again."""
        pause_s, self._reached_at = _FIRST_PAUSE_S, anyio.current_time()
        while True:
            began = anyio.current_time()
            error = await self._connection()
            if not isinstance(error, (AgentServerUnreachable, AgentServerFailed)):
                raise error
            self._is_in_trouble(str(error))
            if anyio.current_time() - self._reached_at > _GONE_AFTER_S:
                self._log.give_up()
            was_cut = self._reached_at > began and isinstance(error, AgentServerUnreachable)
            pause_s = _FIRST_PAUSE_S if was_cut else min(2 * pause_s, _LONGEST_PAUSE_S)
            await anyio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311  # so that many do not come at once

    async def finish(self) -> None:
        """Read once more what has changed, for a few seconds at most; of unfinished answers what has come is logged.

        To be called when nobody follows any more: what the stream was about to tell would be missing.
        """
        with anyio.move_on_after(_LAST_LOOK_S, shield=True), suppress(AgentServerError):
            if self.caught_up.is_set():
                await self._unless_it_fails(self._look_around)
                await self._read_sessions()
                await self._read_messages()
        self._log.unfinished_answers()

    def _unfinished(self) -> tuple[str, ...]:
        """The sessions of which more is to come, and those that are still to be read."""
        running = self._log.running_sessions(utc_now() - _DEAD_AFTER)
        changed = {session_id for session_id, _ in self._changed}
        return tuple(sorted(running | changed | self._to_read.keys() | self._failed.keys()))

    # One connection.

    async def _connection(self) -> AgentServerError:
        """Follow the server until the connection ends; why it has."""
        failures: list[AgentServerError] = []
        connected = anyio.Event()
        self._were_read.clear()

        async def safely(work: Callable[[anyio.Event], Awaitable[None]]) -> None:
            try:
                await work(connected)
            except AgentServerError as error:
                failures.append(error)
            except Exception as error:  # noqa: BLE001  # one of ours: it must not end whatever runs beside it
                self._log.note_failure(error)
                failures.append(AgentServerFailed(self._server.base_url, f"it could not be followed ({describe(error)})"))
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(safely, self._listen)
            group.start_soon(safely, self._read)
        refusals = [error for error in failures if not isinstance(error, (AgentServerUnreachable, AgentServerFailed))]
        return (refusals or failures)[0]

    async def _listen(self, connected: anyio.Event) -> None:
        async with self._server.events() as events:
            async for event in events:
                connected.set()
                self._reached_at, self._was_reached = anyio.current_time(), True
                self._log.safely(self._take, event)
        raise AgentServerUnreachable(self._server.base_url, "it has ended the stream of its events")

    async def _read(self, connected: anyio.Event) -> None:
        await connected.wait()
        await self._look_around()
        self._is_to_look_after = True
        while True:
            self._wake = anyio.Event()
            await self._read_sessions()
            await self._look_after_unfinished()
            self.caught_up.set()
            self._is_in_trouble(None)
            await self._read_messages()
            if self._newest is not None and (self._since is None or self._newest > self._since):
                self._since = self._newest
            await self._wake.wait()

    async def _look_around(self) -> None:
        """See which sessions have changed."""
        if self._witness is not None and not await self._server.session(self._witness):
            self._since = None  # another server, or that session was deleted
        newest, limit = self._since, None if self._since is None else self._since - _OVERLAP
        witness = self._witness
        async for info in self._server.sessions():
            updated = time_of(mapping_of(info.get("time")).get("updated"))
            if updated is not None and limit is not None and updated < limit:
                break
            session_id = text_of(info.get("id"))
            if session_id is not None:
                self._to_read[session_id] = info
            if newest is None or (updated is not None and updated > newest):
                newest, witness = updated, session_id
        for session_id in self._unfinished():
            self._to_read.setdefault(session_id, {})
        self._since, self._witness = newest, witness

    async def _read_sessions(self) -> None:
        while self._to_read:
            session_id, info = next(iter(self._to_read.items()))
            self._were_read[session_id] = None  # now, for it may change while it is read
            forget(self._were_read, _MOST_SESSIONS)
            self._failed.pop(session_id, None)
            if not await self._unless_it_fails(self._read_session, session_id, info):
                self._is_to_retry(session_id)
            del self._to_read[session_id]

    async def _read_messages(self) -> None:
        while self._changed:
            await self._read_changed(*next(iter(self._changed)))

    async def _read_session(self, session_id: str, info: Mapping[str, Any]) -> None:
        info = info or await self._server.session(session_id)
        if info:
            self._log.session(info)
        for message in await self._server.messages(session_id):
            self._log.message(message)
        for answer in self._log.answers():
            if answer.session_id == session_id:
                answer.directory = text_of(info.get("directory"))

    async def _read_changed(self, session_id: str, message_id: str) -> None:
        del self._changed[session_id, message_id]  # now, for it may change while it is read
        try:
            if not await self._unless_it_fails(self._read_message, session_id, message_id):
                self._is_to_retry(session_id)
        except BaseException:
            self._changed[session_id, message_id] = None
            raise

    def _is_to_retry(self, session_id: str) -> None:
        self._failed[session_id] = None
        forget(self._failed, _MOST_SESSIONS)

    async def _read_message(self, session_id: str, message_id: str) -> None:
        self._log.message(await self._server.message(session_id, message_id))

    async def _look_after_unfinished(self) -> None:
        """After a connection was lost: see what waits for a model or a person, and what nobody works at any more.

        Only directories are asked about that something was under way in: the server would load whatever there is in others.
        """
        if not self._is_to_look_after:
            return
        self._log.give_up(begun_before=utc_now() - _DEAD_AFTER)
        unfinished = [answer for answer in self._log.answers() if not answer.is_lost]
        for directory in {answer.directory for answer in unfinished if answer.directory} | self._directories.keys():
            there = [answer for answer in unfinished if answer.directory == directory]
            await self._unless_it_fails(self._look_after, directory, there)
        self._is_to_look_after = False

    async def _look_after(self, directory: str, unfinished: Sequence[Answer]) -> None:
        busy = await self._server.statuses(directory)
        for session_id, status in busy.items():
            self._log.events(retried(session_id, mapping_of(status), utc_now()))
        for question in await self._server.questions(directory):
            self._log.events([asked(question, utc_now())])
        for answer in unfinished:
            if answer.session_id not in busy:
                # It may have been completed before it was asked who is busy, so it is read once more.
                await self._read_message(answer.session_id, answer.message_id)
                self._log.lose(answer)

    async def _unless_it_fails(self, read: Callable[..., Awaitable[None]], *what: Any) -> bool:
        """Read something; what the server fails to answer, or we to understand, is told, and the rest goes on."""
        try:
            await read(*what)
        except Exception as error:
            if isinstance(error, AgentServerError) and not isinstance(error, AgentServerFailed):
                raise
            self._log.note_failure(error)
            return False
        return True

    # What the stream says.

    def _take(self, event: Mapping[str, Any]) -> None:
        payload = mapping_of(event.get("payload"))
        kind, told = text_of(payload.get("type")), mapping_of(payload.get("properties"))
        self._remember_directory(event.get("directory"))
        if kind in {"session.created", "session.updated"}:
            info = mapping_of(told.get("info"))
            self._newest = time_of(mapping_of(info.get("time")).get("updated")) or self._newest
            self._log.session(info)
            self._is_known(text_of(info.get("id")) or "")
        elif kind == "message.updated":
            self._take_message(mapping_of(told.get("info")))
        elif kind == "message.part.updated":
            self._take_part(mapping_of(told.get("part")))
        elif kind == "message.part.delta":
            answer = self._log.answer(text_of(told.get("messageID")) or "")
            if answer is not None:
                answer.add(told)
        else:
            self._log.other(payload)

    def _take_message(self, info: Mapping[str, Any]) -> None:
        session_id, message_id = text_of(info.get("sessionID")), text_of(info.get("id"))
        if session_id is None or message_id is None:
            return
        self._has_changed(session_id, message_id)
        if info.get("role") == "assistant" and not is_whole(info):
            self._log.begun_answer(session_id, message_id).info = info

    def _take_part(self, part: Mapping[str, Any]) -> None:
        session_id, message_id, part_id = (text_of(part.get(key)) for key in ("sessionID", "messageID", "id"))
        if session_id is None or message_id is None or part_id is None:
            return
        answer = self._log.answer(message_id)
        if answer is not None:
            answer.take(part_id, part)
        if is_whole_part(part):
            self._has_changed(session_id, message_id)

    def _has_changed(self, session_id: str, message_id: str) -> None:
        if self._is_known(session_id):
            self._changed[session_id, message_id] = None
            self._wake.set()

    def _is_known(self, session_id: str) -> bool:
        """Whether a session was read on this connection. If not, it is to be: some of it may have been missed."""
        if session_id and session_id not in self._were_read:
            self._to_read.setdefault(session_id, {})
            self._wake.set()
        return session_id in self._were_read

    def _remember_directory(self, directory: Any) -> None:
        if text_of(directory):
            self._directories[directory] = None
            forget(self._directories, _MOST_DIRECTORIES)

    def _is_in_trouble(self, trouble: str | None) -> None:
        """Tell of a trouble that lasts, and of its end; of the first one at once, for then the address may be wrong."""
        is_short = self._was_reached and anyio.current_time() - self._reached_at < _GONE_AFTER_S
        if (trouble is None) == (self._trouble is None) or (trouble is not None and is_short):
            return
        self._trouble = trouble
        self._tell(trouble)
