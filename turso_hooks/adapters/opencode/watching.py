"""Following a server: what its stream says has changed is read from the server, and what was missed is read when it is back.

The stream only tells where to look. So it makes no difference whether an event of it comes, comes twice or is lost: what is
logged is what the server itself answers. There is one exception: of an answer that the model has not finished the server tells
what has come so far only in the stream, which matters if the server dies before the end.
"""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import anyio

from turso_hooks.adapters.opencode.server import OpenCodeServer
from turso_hooks.errors import AgentServerError, AgentServerFailed, AgentServerUnreachable, describe
from turso_hooks.events import Event, utc_now
from turso_hooks.shipping import warn_once
from turso_hooks.transcripts.anthropic import mapping_of, text_of
from turso_hooks.transcripts.opencode import Reader, asked, is_whole, is_whole_part, retried, said

FAILED = "adapter_failed"
"""The reason that is counted when something in here went wrong."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 10.0
_GONE_AFTER_S = 5.0
"""A server that cannot be reached for so long is gone, and with it what was under way."""

_DEAD_AFTER = timedelta(days=1)
"""An answer that was begun so long ago and is not whole will never be."""

_OVERLAP = timedelta(seconds=10)
"""So much more is read than what changed since a server's last word: what it says and what it writes are not of one moment."""

_MOST_SEEN = 100_000
_MOST_UNDER_WAY = 10_000
_MOST_DIRECTORIES = 1000
_MOST_PARTIAL_CHARS = 1 << 22
"""Limits to what is remembered: far more than there is at once, and so little that a server without end does no harm."""


class Watcher:
    """Makes events of whatever happens on a server, and gives them to `emit`.

    What changed before `since` is left alone, but for the sessions `unfinished`; nothing, if it is None. `tell` is called with
    each trouble with the server, once, and with None when it is over. A fault in here is given to `count`, and ends nothing.
    """

    def __init__(  # noqa: PLR0913  # by name
        self,
        server: OpenCodeServer,
        emit: Callable[[Event], object],
        count: Callable[[str], object],
        *,
        since: datetime | None = None,
        unfinished: Iterable[str] = (),
        tell: Callable[[str | None], object] = lambda _: None,
    ) -> None:
        self.reader = Reader(utc_now())
        self.caught_up = anyio.Event()
        """Set once everything that was there is logged."""
        self.since = since
        """The time, by the server's clock, up to which all changes are known."""
        self._server = server
        self._emit = emit
        self._count = count
        self._tell = tell
        self._trouble: str | None = None
        self._reached_at = 0.0
        self._was_reached = False
        self._to_read: dict[str, Mapping[str, Any]] = {session_id: {} for session_id in unfinished}
        """Sessions of which something may have been missed, by their id, with their `info`."""
        self._changed: dict[tuple[str, str], None] = {}
        """Messages that have changed, by session and message."""
        self._newest: datetime | None = None
        """The time of the last change of which the stream has told."""
        self._wake = anyio.Event()
        self._under_way: dict[str, _Answer] = {}
        """Answers that are not whole, by the id of the message."""
        self._seen: dict[str, int] = {}
        """Checksums of what was logged: it need not be logged again."""
        self._directories: dict[str, None] = {}
        """Those of which the stream has told."""
        self._is_to_look_after = False

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
                self._give_up()
            pause_s = _FIRST_PAUSE_S if self._reached_at > began else min(2 * pause_s, _LONGEST_PAUSE_S)
            await anyio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311  # so that many do not come at once

    def unfinished(self) -> list[str]:
        """The sessions of answers that are not whole, and those that are still to be read."""
        changed = {session_id for session_id, _ in self._changed}
        return sorted({answer.session_id for answer in self._under_way.values()} | self._to_read.keys() | changed)

    def finish(self) -> None:
        """Log of unfinished answers what has come so far; to be called when nobody follows any more."""
        for answer in self._under_way.values():
            self._log(answer.message())

    # One connection.

    async def _connection(self) -> AgentServerError:
        """Follow the server until the connection ends; why it has."""
        failures: list[AgentServerError] = []
        connected = anyio.Event()

        async def safely(work: Callable[[anyio.Event], Awaitable[None]]) -> None:
            try:
                await work(connected)
            except AgentServerError as error:
                failures.append(error)
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
                self._safely(self._take, event)
        raise AgentServerUnreachable(self._server.base_url, "it has ended the stream of its events")

    async def _read(self, connected: anyio.Event) -> None:
        await connected.wait()
        await self._look_around()
        while True:
            self._wake = anyio.Event()
            while self._to_read:
                session_id, info = next(iter(self._to_read.items()))
                await self._unless_it_fails(self._read_session, session_id, info)
                self._to_read.pop(session_id, None)
            await self._look_after_unfinished()
            self.caught_up.set()
            self._is_in_trouble(None)
            while self._changed:
                await self._read_changed(*next(iter(self._changed)))
            if self._newest is not None and (self.since is None or self._newest > self.since):
                self.since = self._newest
            await self._wake.wait()

    async def _look_around(self) -> None:
        """See which sessions have changed."""
        newest, limit = self.since, None if self.since is None else self.since - _OVERLAP
        async for info in self._server.sessions():
            updated = _time(mapping_of(info.get("time")).get("updated"))
            if updated is not None and limit is not None and updated < limit:
                break
            newest = updated if newest is None or (updated is not None and updated > newest) else newest
            session_id = text_of(info.get("id"))
            if session_id is not None:
                self._to_read[session_id] = info
        for answer in self._under_way.values():
            self._to_read.setdefault(answer.session_id, {})
        self._is_to_look_after = True
        self.since = newest

    async def _read_session(self, session_id: str, info: Mapping[str, Any]) -> None:
        info = info or await self._server.session(session_id)
        if info:
            self._safely(self._log_session, info)
        for message in await self._server.messages(session_id):
            self._log(message)
        for answer in self._under_way.values():
            if answer.session_id == session_id:
                answer.directory = text_of(info.get("directory"))

    async def _read_changed(self, session_id: str, message_id: str) -> None:
        del self._changed[session_id, message_id]  # now, for it may change while it is read
        try:
            await self._unless_it_fails(self._read_message, session_id, message_id)
        except BaseException:
            self._changed[session_id, message_id] = None
            raise

    async def _read_message(self, session_id: str, message_id: str) -> None:
        self._log(await self._server.message(session_id, message_id))

    async def _look_after_unfinished(self) -> None:
        """After a connection was lost: see what waits for a model or a person, and what nobody works at any more.

        Only directories are asked about that something was under way in: the server would load whatever there is in others.
        """
        if not self._is_to_look_after:
            return
        old = utc_now() - _DEAD_AFTER
        for answer in [answer for answer in self._under_way.values() if answer.since(old) < old]:
            self._lose(answer)
            del self._under_way[answer.message_id]
        unfinished = [answer for answer in self._under_way.values() if not answer.is_lost]
        for directory in {answer.directory for answer in unfinished if answer.directory} | self._directories.keys():
            there = [answer for answer in unfinished if answer.directory == directory]
            await self._unless_it_fails(self._look_after, directory, there)
        self._is_to_look_after = False

    async def _look_after(self, directory: str, unfinished: Sequence[_Answer]) -> None:
        busy = await self._server.statuses(directory)
        for session_id, status in busy.items():
            self._say(retried(session_id, mapping_of(status), utc_now()))
        for question in await self._server.questions(directory):
            self._say([asked(question, utc_now())])
        for answer in unfinished:
            if answer.session_id not in busy:
                # It may have been completed before it was asked who is busy, so it is read once more.
                await self._read_message(answer.session_id, answer.message_id)
                if self._under_way.get(answer.message_id) is answer:
                    self._lose(answer)

    async def _unless_it_fails(self, read: Callable[..., Awaitable[None]], *what: Any) -> None:
        """Read something; what the server fails to answer is told, and the rest goes on."""
        try:
            await read(*what)
        except AgentServerFailed as error:
            self._count(FAILED)
            warn_once(f"{FAILED}:opencode", "something of an OpenCode server was not logged: %s", error)

    # What the stream says.

    def _take(self, event: Mapping[str, Any]) -> None:
        payload = mapping_of(event.get("payload"))
        kind, told = text_of(payload.get("type")), mapping_of(payload.get("properties"))
        self._remember_directory(event.get("directory"))
        if kind in {"session.created", "session.updated"}:
            info = mapping_of(told.get("info"))
            self._newest = _time(mapping_of(info.get("time")).get("updated")) or self._newest
            self._log_session(info)
        elif kind == "message.updated":
            self._take_message(mapping_of(told.get("info")))
        elif kind == "message.part.updated":
            self._take_part(mapping_of(told.get("part")))
        elif kind == "message.part.delta":
            answer = self._under_way.get(text_of(told.get("messageID")) or "")
            if answer is not None:
                answer.add(told)
        else:
            self._say(said(payload, utc_now(), self.reader.not_understood))

    def _take_message(self, info: Mapping[str, Any]) -> None:
        session_id, message_id = text_of(info.get("sessionID")), text_of(info.get("id"))
        if session_id is None or message_id is None:
            return
        self._has_changed(session_id, message_id)
        if info.get("role") == "assistant" and not is_whole(info):
            self._answer_of(session_id, message_id).info = info

    def _take_part(self, part: Mapping[str, Any]) -> None:
        session_id, message_id, part_id = (text_of(part.get(key)) for key in ("sessionID", "messageID", "id"))
        if session_id is None or message_id is None or part_id is None:
            return
        if message_id in self._under_way:
            self._under_way[message_id].parts[part_id] = dict(part)
        if is_whole_part(part):
            self._has_changed(session_id, message_id)

    def _has_changed(self, session_id: str, message_id: str) -> None:
        self._changed[session_id, message_id] = None
        self._wake.set()

    def _answer_of(self, session_id: str, message_id: str) -> _Answer:
        answer = self._under_way.get(message_id)
        if answer is None:
            answer = self._under_way[message_id] = _Answer(session_id, message_id)
            _forget(self._under_way, _MOST_UNDER_WAY)
        return answer

    def _remember_directory(self, directory: Any) -> None:
        if text_of(directory):
            self._directories[directory] = None
            _forget(self._directories, _MOST_DIRECTORIES)

    # What is logged.

    def _log_session(self, info: Mapping[str, Any]) -> None:
        what = ("title", "agent", "model", "parentID", "version")
        if self._is_news(text_of(info.get("id")) or "", {key: info.get(key) for key in what}):
            self._say(self.reader.session(info))

    def _log(self, message: Mapping[str, Any]) -> None:
        self._safely(self._log_message, message)

    def _log_message(self, message: Mapping[str, Any]) -> None:
        info = mapping_of(message.get("info"))
        session_id, message_id = text_of(info.get("sessionID")), text_of(info.get("id"))
        if session_id is None or message_id is None:
            return  # it is not there any more
        if info.get("role") == "assistant" and not is_whole(info):
            answer = self._answer_of(session_id, message_id)
            answer.info = info
            answer.set_parts(message.get("parts"))
        else:
            self._under_way.pop(message_id, None)
        if self._is_news(message_id, message):
            self._say(self.reader.message(message))

    def _give_up(self) -> None:
        for answer in self._under_way.values():
            self._lose(answer)

    def _lose(self, answer: _Answer) -> None:
        if not answer.is_lost:
            answer.is_lost = True
            self._safely(self._say_lost, answer.message())

    def _say_lost(self, message: Mapping[str, Any]) -> None:
        self._say(self.reader.lost(message))

    def _is_news(self, key: str, what: Any) -> bool:
        checksum = zlib.crc32(json.dumps(what).encode("ascii"))
        if self._seen.get(key) == checksum:
            return False
        self._seen.pop(key, None)
        self._seen[key] = checksum
        _forget(self._seen, _MOST_SEEN)
        return True

    def _say(self, events: list[Event]) -> None:
        for event in events:
            self._emit(event)

    def _is_in_trouble(self, trouble: str | None) -> None:
        """Tell of a trouble that lasts, and of its end; of the first one at once, for then the address may be wrong."""
        is_short = self._was_reached and anyio.current_time() - self._reached_at < _GONE_AFTER_S
        if (trouble is None) == (self._trouble is None) or (trouble is not None and is_short):
            return
        self._trouble = trouble
        self._tell(trouble)

    def _safely(self, log: Callable[[Mapping[str, Any]], object], what: Mapping[str, Any]) -> None:
        try:
            log(what)
        except Exception as error:  # noqa: BLE001  # what one message does to us, the others must not suffer
            self._count(FAILED)
            warn_once(f"{FAILED}:{type(error).__name__}", "something of an OpenCode server was not logged: %s", describe(error))


class _Answer:
    """What is known of an answer that is not whole."""

    def __init__(self, session_id: str, message_id: str) -> None:
        self.session_id = session_id
        self.message_id = message_id
        self.info: Mapping[str, Any] = {}
        self.parts: dict[str, dict[str, Any]] = {}
        self.directory: str | None = None
        self.is_lost = False
        self._chars = 0

    def since(self, default: datetime) -> datetime:
        """When it was begun."""
        return _time(mapping_of(self.info.get("time")).get("created")) or default

    def set_parts(self, parts: Any) -> None:
        """Take over what the server says, which of a part that is not whole is less than its stream has said."""
        for part in parts if isinstance(parts, list) else []:
            part_id = text_of(mapping_of(part).get("id"))
            if part_id is not None and (is_whole_part(part) or part_id not in self.parts):
                self.parts[part_id] = dict(part)

    def add(self, delta: Mapping[str, Any]) -> None:
        """Append what has come of a part."""
        part = self.parts.get(text_of(delta.get("partID")) or "")
        field, more = delta.get("field"), delta.get("delta")
        if part is None or field != "text" or not isinstance(more, str) or self._chars > _MOST_PARTIAL_CHARS:
            return
        self._chars += len(more)
        part["text"] = f"{part.get('text') or ''}{more}"

    def message(self) -> Mapping[str, Any]:
        return {"info": self.info, "parts": list(self.parts.values())}


def _time(value: Any) -> datetime | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < 1 << 47:
        return None
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=value)


def _forget(remembered: dict[Any, Any], most: int) -> None:
    if len(remembered) > most:
        del remembered[next(iter(remembered))]
