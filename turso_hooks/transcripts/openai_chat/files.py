"""The conversations in a file: one, an array of them, or JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from turso_hooks.errors import TranscriptError


@dataclass(frozen=True)
class Unreadable:
    """A piece of a file that is no conversation: where it is, and why not."""

    place: str
    problem: str


Found = tuple[str, Any] | Unreadable
"""A conversation as it was parsed, with its place; or what cannot be."""


def conversations(lines: Iterable[bytes]) -> Iterator[Found]:
    """The conversations in the lines of a file, each with its place (`line 3` or `conversation 3`).

    JSON Lines are read one by one; a line that is not JSON is reported and the rest goes on. Anything else is read whole.
    Raises `TranscriptError` if the whole is not JSON either.
    """
    iterator = iter(enumerate(lines, start=1))
    first = next(((number, line) for number, line in iterator if line.strip()), None)
    if first is None:
        return
    if _is_json(first[1]):
        second = next(((number, line) for number, line in iterator if line.strip()), None)
        if second is None:
            yield from _whole(first[1])
            return
        yield from (_line(number, line) for number, line in (first, second))
        yield from (_line(number, line) for number, line in iterator if line.strip())
        return
    rest = list(iterator)
    whole = b"".join([first[1], *(line for _, line in rest)])
    if not _is_json(whole) and any(_is_conversation_line(line) for _, line in rest):
        yield from (_line(number, line) for number, line in (first, *rest) if line.strip())
    else:
        yield from _whole(whole)


def _line(number: int, line: bytes) -> Found:
    try:
        return f"line {number}", json.loads(line)
    except (ValueError, RecursionError) as error:
        return Unreadable(f"line {number}", f"it is not JSON: {error}")


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _is_conversation_line(line: bytes) -> bool:
    """Whether a line stands for itself: a pretty-printed file has lines that are JSON too, but none with messages."""
    if line.strip()[:1] not in {b"{", b"["} or not _is_json(line):
        return False
    value = json.loads(line)
    return (isinstance(value, dict) and "messages" in value) or _is_messages(value)


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) and "role" in entry for entry in value)


def _whole(data: bytes) -> Iterator[tuple[str, Any]]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise TranscriptError(f"the file is neither JSON nor JSON Lines: {error}") from error
    if isinstance(value, list) and not _is_messages(value):
        yield from ((f"conversation {number}", entry) for number, entry in enumerate(value, start=1))
    else:
        yield "conversation 1", value
