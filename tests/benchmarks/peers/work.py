"""The work that every peer is given, and what the file of a peer in `tools` has to be.

A conversation is a start, 100 turns of a question (200 characters), an answer (800) and a tool call (150 characters in, 1,500
out), and an end: 302 events. What a runner has in hand is an `Event`; a tool makes its own things of it within the timed call.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

DATABASE = "peer.db"
"""The file, in a trial's folder, that a tool keeps everything in."""

LINES = "peer.jsonl"
"""The file of a floor that has no database."""


class Event(NamedTuple):
    """One thing that an agent said or did."""

    kind: str
    """started, user, assistant, tool or ended."""

    session_id: str
    turn: int
    text: str = ""
    """What was said; of a tool call the command, which is 150 characters as `{"command": "…"}`."""

    answer: str = ""
    """What a tool answered."""


def conversation(session_id: str, turns: int) -> Iterator[Event]:
    """Its texts are like no other's: a tool may keep equal ones once."""
    yield Event("started", session_id, 0)
    for turn in range(turns):
        own = f"{session_id} {turn} "
        yield Event("user", session_id, turn, own.ljust(200, "q"))
        yield Event("assistant", session_id, turn, own.ljust(800, "a"))
        yield Event("tool", session_id, turn, own.ljust(136, "c"), own.ljust(1500, "o"))
    yield Event("ended", session_id, turns)


class Tool:
    """A peer, open. `log` may be a coroutine function, and `durable` and `close` may return something to be awaited."""

    def __init__(self, folder: Path, url: str | None) -> None:
        """Open in a folder of its own, or for a backend at `url`, which need not be there."""

    def prepare(self, event: Event) -> Any:
        """What the runner hands over, made before the timed call; None where this tool has no place for the event."""
        return event

    def log(self, item: Any) -> Any:
        """The timed call."""
        raise NotImplementedError

    def durable(self) -> Any:
        """Wait until all that was logged is in the database; for a tool whose calls return only then there is nothing to do."""

    def close(self) -> Any:
        """End as the tool's documentation has it. The interpreter's exit follows."""
