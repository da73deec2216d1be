"""What is logged of a server: whatever has changed, once; of answers that are not whole, what has come when they are lost."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from turso_hooks.adapters.opencode.answers import Answer, time_of
from turso_hooks.errors import AgentServerError, describe
from turso_hooks.events import Event, SessionEnded, utc_now
from turso_hooks.shipping import warn_once
from turso_hooks.transcripts.anthropic import mapping_of, text_of
from turso_hooks.transcripts.opencode import Reader, is_whole, said

FAILED = "adapter_failed"
"""The reason that is counted when something in here went wrong."""

_MOST_SEEN = 100_000
_MOST_SESSIONS = 10_000
_MOST_UNDER_WAY = 10_000
"""Limits to what is remembered: far more than there is at once, and so little that a server without end does no harm."""


class _Turn(NamedTuple):
    """The last message of a session that was logged."""

    at: datetime
    is_running: bool
    """Whether an answer is to follow."""


class Log:
    """Makes events of what a server says, and gives them to `emit`; a fault in here is given to `count`, and ends nothing."""

    def __init__(self, emit: Callable[[Event], object], count: Callable[[str], object]) -> None:
        self._emit = emit
        self._count = count
        self._reader = Reader(utc_now())
        self._turns: dict[str, _Turn] = {}
        """How far each session is that was logged."""
        self._under_way: dict[str, Answer] = {}
        """Answers that are not whole, by the id of the message."""
        self._seen: dict[str, int] = {}
        """Checksums of what was logged: it need not be logged again."""

    def session(self, info: Mapping[str, Any]) -> None:
        """Log a session, if something of it that is logged has changed."""
        self.safely(self._session, info)

    def message(self, message: Mapping[str, Any]) -> None:
        """Log a message, if it has changed; of an answer that is not whole it is noted how far it is."""
        self.safely(self._message, message)

    def other(self, payload: Mapping[str, Any]) -> None:
        """Log what the stream says of anything else."""
        self.events(said(payload, utc_now(), self._reader.not_understood))

    def events(self, events: Sequence[Event]) -> None:
        """Log what is made of something else already."""
        for event in events:
            self._emit(event)

    def running_sessions(self, since: datetime) -> set[str]:
        """The sessions of which an answer is under way, or is to follow on what was said after `since`."""
        running = {session_id for session_id, turn in self._turns.items() if turn.is_running and turn.at > since}
        return running | {answer.session_id for answer in self._under_way.values()}

    def answers(self) -> list[Answer]:
        """Those under way."""
        return list(self._under_way.values())

    def answer(self, message_id: str) -> Answer | None:
        """The one of a message, if it is under way."""
        return self._under_way.get(message_id)

    def begun_answer(self, session_id: str, message_id: str) -> Answer:
        """The one of a message, which is under way from now on."""
        answer = self._under_way.get(message_id)
        if answer is None:
            answer = self._under_way[message_id] = Answer(session_id, message_id)
            forget(self._under_way, _MOST_UNDER_WAY)
        return answer

    def unfinished_answers(self) -> None:
        """Log what has come of answers that are not whole."""
        for answer in self.answers():
            self.message(answer.message())

    def lose(self, answer: Answer) -> None:
        """Log that no more will come of an answer, if it is still under way and that was not said before."""
        if self._under_way.get(answer.message_id) is answer and not answer.is_lost:
            answer.is_lost = True
            self.safely(self._say_lost, answer.message())

    def give_up(self, begun_before: datetime | None = None) -> None:
        """Log that nothing more will come of the answers under way; those that are so old are forgotten as well."""
        for answer in self.answers():
            if begun_before is None:
                self.lose(answer)
            elif answer.since(begun_before) < begun_before:
                self.lose(answer)
                del self._under_way[answer.message_id]

    def safely(self, log: Callable[[Mapping[str, Any]], object], what: Mapping[str, Any]) -> None:
        """Do something of which no failure may reach what comes next."""
        try:
            log(what)
        except Exception as error:  # noqa: BLE001  # what one message does to us, the others must not suffer
            self.note_failure(error)

    def note_failure(self, error: Exception) -> None:
        """Count what went wrong, and say it once."""
        self._count(FAILED)
        what = error if isinstance(error, AgentServerError) else describe(error)
        warn_once(f"{FAILED}:{type(error).__name__}", "something of an OpenCode server was not logged: %s", what)

    def _session(self, info: Mapping[str, Any]) -> None:
        what = ("title", "agent", "model", "parentID", "version")
        if self._is_news(text_of(info.get("id")) or "", {key: info.get(key) for key in what}):
            self.events(self._reader.session(info))

    def _message(self, message: Mapping[str, Any]) -> None:
        info = mapping_of(message.get("info"))
        session_id, message_id = text_of(info.get("sessionID")), text_of(info.get("id"))
        if session_id is None or message_id is None:
            return  # it is not there any more
        if info.get("role") == "assistant" and not is_whole(info):
            answer = self.begun_answer(session_id, message_id)
            answer.info = info
            answer.set_parts(message.get("parts"))
        else:
            self._under_way.pop(message_id, None)
        if self._is_news(message_id, message):
            events = self._reader.message(message)
            self._take_turn(session_id, info, is_running=not any(isinstance(event, SessionEnded) for event in events))
            self.events(events)

    def _take_turn(self, session_id: str, info: Mapping[str, Any], *, is_running: bool) -> None:
        known, at = self._turns.pop(session_id, None), time_of(mapping_of(info.get("time")).get("created")) or utc_now()
        self._turns[session_id] = known if known is not None and known.at > at else _Turn(at, is_running)
        forget(self._turns, _MOST_SESSIONS)

    def _say_lost(self, message: Mapping[str, Any]) -> None:
        self.events(self._reader.lost(message))

    def _is_news(self, key: str, what: Any) -> bool:
        checksum = zlib.crc32(json.dumps(what).encode("ascii"))
        if self._seen.get(key) == checksum:
            return False
        self._seen.pop(key, None)
        self._seen[key] = checksum
        forget(self._seen, _MOST_SEEN)
        return True


def forget(remembered: dict[Any, Any], most: int) -> None:
    """Forget what was remembered first, once it is more than so much; to be called after each addition."""
    if len(remembered) > most:
        del remembered[next(iter(remembered))]
