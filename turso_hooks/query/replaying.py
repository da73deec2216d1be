"""What was logged as the events that would log it again: each row as one event, a session as its start and its end.

Said again to an empty database these make rows of which the same events come out. What several events have told of one row is
told by one, that which knew best; what other programs have written has an event id derived from the id of its row.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    ModelCallStarted,
    NoteAdded,
    SessionEnded,
    SessionStarted,
    ToolCallFinished,
    ToolCallStarted,
    Usage,
    derived_event_id,
    from_microseconds,
    row_id,
    to_microseconds,
)
from turso_hooks.query.asking import Asker
from turso_hooks.query.entries import Kind, in_session
from turso_hooks.query.filters import Condition
from turso_hooks.query.pages import MOST_ON_A_PAGE, iter_pages
from turso_hooks.query.rows import json_of, text_of, time_of
from turso_hooks.store import UNKNOWN, Key, deciding_key, read_key

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
"""The time of what has none."""

_FOREIGN_RANK = 1
_INT64 = range(-(2**63), 2**63)

_SESSION_COLUMNS = """id, agent_type, model, provider, parent_session_id, parent_tool_call_id, title, project, user_id, runner,
    metadata, started_at, start_known, ended_at, status, error_message, status_key, provenance"""


class _Entry(NamedTuple):
    """An event, and its place among the others of its session."""

    moment: tuple[int, float, str]
    event: Event


def events_of(asker: Asker, session_id: str) -> Iterator[Event]:
    """The events of a session in reading order, its start first. Reads it a page at a time."""
    sql = f"SELECT {_SESSION_COLUMNS} FROM sessions WHERE id = ?"
    found, _ = asker.some("read a session", lambda most: (f"{sql} LIMIT {most}", (session_id,)), 1)
    if not found.rows:
        return
    session = dict(zip(found.columns, found.rows[0], strict=True))
    entries = heapq.merge(*(_entries(asker, kind, session_id) for kind in _KINDS), key=lambda entry: entry.moment)
    first = next(entries, None)
    yield from _beginning(session, is_all=first is None)
    if first is not None:
        yield first.event
    yield from (entry.event for entry in entries)
    yield from _end(session)


def _entries(asker: Asker, kind: Kind, session_id: str) -> Iterator[_Entry]:
    """What is in a session of one kind. Times in two forms are not in order as texts: those of a millisecond are sorted."""
    ask = partial(in_session, asker, kind, session_id, Condition(), limit=MOST_ON_A_PAGE)
    entries = (entry for page in iter_pages(ask) for entry in page)
    for _, together in groupby(entries, key=lambda entry: entry.moment[0] // 1000):
        yield from sorted(together, key=lambda entry: entry.moment)


def _beginning(session: dict[str, Any], *, is_all: bool) -> Iterator[Event]:
    """The start of a session; none if nobody has told of it, and something else tells that there is one."""
    if session["start_known"] == 0 and not (is_all and session["ended_at"] is None):
        return
    at = time_of(session["started_at"]) or _EPOCH
    names = ("provider", "parent_session_id", "parent_tool_call_id", "title", "project", "user_id", "runner")
    known: dict[str, Any] = {name: _text(session[name]) for name in names}
    known |= {"agent_type": _known(session["agent_type"]), "model": _known(session["model"])}
    yield SessionStarted(**_said(session, "session", at), **known, occurred_at=at, metadata=json_of(session["metadata"]))


def _end(session: dict[str, Any]) -> Iterator[Event]:
    """The end of a session, and that it was taken up again after that."""
    key = read_key(session["status_key"])
    ended_at = time_of(session["ended_at"])
    status = text_of(session["status"])
    if ended_at is None and status in {"running", UNKNOWN, ""}:
        return
    is_running = status == "running"
    began_at = time_of(session["started_at"]) or _EPOCH
    at = ended_at or (from_microseconds(key.microseconds) if key is not None else began_at)
    if not is_running:  # an end before the start, as a clock that was set may make it, would not be the last word
        at = max(at, began_at)
    said = _said(session, "end", at)
    if key is not None and not is_running:
        said |= {"source_rank": key.source_rank, "event_id": key.event_id}
    yield SessionEnded(
        **said,
        occurred_at=at,
        status=None if is_running else status,
        error_message=None if is_running else _text(session["error_message"]),
    )
    if is_running:
        again = at if key is None else max(at, from_microseconds(key.microseconds))
        yield SessionStarted(**_said(session, "again", again), occurred_at=again)


def _message(row: dict[str, Any]) -> Event:
    at = time_of(row["created_at"]) or _EPOCH
    content = json_of(row["tool_output"]) if row["role"] == "tool" else json_of(row["parts"])
    extra = {} if row["role"] == "tool" else {"tool_output": json_of(row["tool_output"])}
    return MessageAdded(
        **_said(row, MessageAdded.row_kind, at),
        **_place(row, MessageAdded.row_kind, "message_id", tool_input=json_of(row["tool_input"]), **extra),
        occurred_at=at,
        role=text_of(row["role"]),
        content=row["content"] if content is None else content,
        tool_call_id=_text(row["tool_call_id"]),
        tool_name=_text(row["tool_name"]),
        model=_text(row["model"]),
        token_count=_integer(row["token_count"]),
    )


def _tool_call(row: dict[str, Any]) -> Event:
    started_at = time_of(row["started_at"]) or _EPOCH
    ended_at = time_of(row["ended_at"])
    message_row = row["message_row_id"] or row["message_id"]
    prefix = row_id(text_of(row["session_id"]), MessageAdded.row_kind, "")
    is_ours = isinstance(message_row, str) and message_row.startswith(prefix)
    extra = {} if is_ours else {"message_row_id": message_row}
    common: dict[str, Any] = {
        **_place(row, ToolCallStarted.row_kind, "tool_call_id", **extra),
        "tool_name": _known(row["tool_name"]),
        "input": json_of(row["input"]),
        "message_id": message_row.removeprefix(prefix) if is_ours else None,
    }
    status = text_of(row["status"])
    if status == "running" and ended_at is None and row["output"] is None and row["error"] is None:
        return ToolCallStarted(**_said(row, "tool_call", started_at), **common, occurred_at=started_at)
    at = ended_at or started_at
    return ToolCallFinished(
        **_said(row, "tool_call", at),
        **common,
        occurred_at=at,
        status=status,
        output=json_of(row["output"]),
        error=_text(row["error"]),
        duration_ms=_integer(row["duration_ms"]),
        started_at=started_at,
    )


def _model_call(row: dict[str, Any]) -> Event:
    started_at = time_of(row["started_at"]) or _EPOCH
    ended_at = time_of(row["ended_at"])
    common: dict[str, Any] = {
        **_place(row, ModelCallStarted.row_kind, "model_call_id"),
        "model": _text(row["model"]),
        "provider": _text(row["provider"]),
    }
    if row["status"] == "running" and ended_at is None:
        return ModelCallStarted(**_said(row, "model_call", started_at), **common, occurred_at=started_at)
    at = ended_at or started_at
    tokens = [_integer(row[f"{name}_tokens"]) for name in Usage.__struct_fields__]
    return ModelCallFinished(
        **_said(row, "model_call", at),
        **common,
        occurred_at=at,
        usage=None if tokens == [None] * len(tokens) else Usage(**dict(zip(Usage.__struct_fields__, tokens, strict=True))),
        duration_ms=_integer(row["duration_ms"]),
        time_to_first_token_ms=_integer(row["time_to_first_token_ms"]),
        finish_reason=_text(row["finish_reason"]),
        cost_usd=row["cost_usd"] if isinstance(row["cost_usd"], (int, float)) else None,
        error=_text(row["error"]),
        started_at=started_at,
    )


def _note(row: dict[str, Any]) -> Event:
    at = time_of(row["occurred_at"]) or _EPOCH
    said = _said(row, NoteAdded.row_kind, at)
    place = _place(row, NoteAdded.row_kind, None)
    return NoteAdded(**said, **place, occurred_at=at, name=text_of(row["name"]), payload=json_of(row["payload"]))


def _said(row: dict[str, Any], kind: str, at: datetime) -> dict[str, Any]:
    """Whose word a row is, as an event says it."""
    key = deciding_key(row["provenance"])
    session_id = text_of(row.get("session_id", row["id"]))
    if key is None:
        key = Key(_FOREIGN_RANK, 0, derived_event_id(at, text_of(row["id"]), kind))
    elif kind in {"end", "again"}:
        key = key._replace(event_id=derived_event_id(at, text_of(row["id"]), kind))
    return {"session_id": session_id, "source_rank": key.source_rank, "event_id": key.event_id}


def _place(row: dict[str, Any], kind: str, source: str | None, **extra: Any) -> dict[str, Any]:
    """Which row an event makes, where it stands, and what was kept with it; `extra` is what events have no word for."""
    session_id, own_id = text_of(row["session_id"]), text_of(row["id"])
    prefix = row_id(session_id, kind, "")
    source_id = _text(row[source]) if source is not None and source in row else None
    if source == "message_id" and own_id.startswith(prefix):
        source_id = own_id.removeprefix(prefix) or None
    place: dict[str, Any] = {} if source is None or source_id is None else {source: source_id}
    derived = row_id(session_id, kind, source_id) if source_id else None
    if own_id != derived:
        place["row_id"] = own_id
    metadata = json_of(row["metadata"])
    more = {name: value for name, value in extra.items() if value is not None}
    if more:
        kept = metadata if isinstance(metadata, dict) else {} if metadata is None else {"value": metadata}
        metadata = {**more, **kept}
    return {**place, "position": _integer(row["position"]), "metadata": metadata}


def _text(value: Any) -> str | None:
    return None if value is None else text_of(value)


def _known(value: Any) -> str | None:
    return None if value is None or value == UNKNOWN else text_of(value)


def _integer(value: Any) -> int | None:
    """A whole number of 64 bits; None for what is none, such as the text that a larger one is kept as."""
    return value if isinstance(value, int) and value in _INT64 else None


def _entry_of(names: tuple[str, ...], to_event: Callable[[dict[str, Any]], Event], row: tuple[Any, ...]) -> _Entry:
    values = dict(zip(names, row, strict=False))
    event = to_event(values)
    occurred_ms = values["occurred_ms"]
    began = getattr(event, "started_at", None) or event.occurred_at
    position = values["position"] if isinstance(values["position"], (int, float)) else float("-inf")
    moment = to_microseconds(began) if isinstance(occurred_ms, int) else 0
    return _Entry((moment, position, text_of(values["id"])), event)


def _kind(table: str, time_column: str, columns: str, to_event: Callable[[dict[str, Any]], Event]) -> Kind:
    names = ("id", "session_id", time_column, "occurred_ms", "position", "metadata", "provenance", *columns.split())
    return Kind(table, ", ".join(names), time_column, partial(_entry_of, names, to_event))


_KINDS = (
    _kind(
        "messages",
        "created_at",
        """role content parts tool_name tool_input tool_output tool_call_id model token_count
        content_whole parts_whole tool_output_whole""",
        _message,
    ),
    _kind(
        "model_calls",
        "started_at",
        """model_call_id model provider status input_tokens output_tokens cache_read_tokens cache_write_tokens reasoning_tokens
        duration_ms time_to_first_token_ms finish_reason cost_usd error ended_at""",
        _model_call,
    ),
    _kind(
        "tool_executions",
        "started_at",
        """message_id message_row_id tool_name status input output error ended_at duration_ms tool_call_id
        input_whole output_whole""",
        _tool_call,
    ),
    _kind("notes", "occurred_at", "name payload payload_whole", _note),
)
