"""Bytes as events again: strictly first, and field by field where a runner handed over a value of another type."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from hashlib import blake2b
from typing import Any, Union, get_type_hints

import msgspec

from turso_hooks.errors import EventError
from turso_hooks.events.marks import printable
from turso_hooks.events.model import EVENT_TYPES, Event, hook_name
from turso_hooks.events.times import from_microseconds

_decode_event = msgspec.msgpack.Decoder(Union[EVENT_TYPES]).decode  # noqa: UP007  # built from a tuple
_decode_any = msgspec.msgpack.Decoder().decode
_decode_json = msgspec.json.Decoder().decode
_encode_any = msgspec.msgpack.Encoder().encode
_TYPES = {hook_name(kind): kind for kind in EVENT_TYPES}

UNREADABLE = "$unreadable"
"""Under this key of `metadata` are the values that do not fit their field, by field name."""


def decode(payload: bytes) -> Event:
    """The event in `payload`.

    A value that does not fit its field is turned into what the field takes, if that says the same (a number as text);
    otherwise it is moved to `metadata["$unreadable"]`. Raises `EventError` for bytes that are no event, for an event of a
    kind this version does not know, and for one without what its row needs (such as `session_id`).
    """
    try:
        return _decode_event(payload)  # type: ignore[no-any-return]  # the union is built at run time
    except msgspec.ValidationError:
        return _decode_leniently(payload)
    except (msgspec.DecodeError, RecursionError, ValueError, TypeError) as error:
        raise EventError(f"the record is not readable: {error}") from error


def decode_json(line: bytes | str) -> Event:
    """The event in a line of JSON, as `export jsonl` writes it. Raises `EventError` as `decode` does."""
    try:
        payload = _encode_any(_decode_json(line))
    except (msgspec.DecodeError, RecursionError, ValueError, OverflowError) as error:
        raise EventError(f"the line is no JSON that an event can be: {error}") from error
    return decode(payload)


def _decode_leniently(payload: bytes) -> Event:
    try:
        values = _decode_any(payload)
    except (msgspec.DecodeError, RecursionError, ValueError, TypeError) as error:
        raise EventError(f"the record is not readable: {error}") from error
    if not isinstance(values, dict):
        raise EventError(f"the record is not an event but {type(values).__name__}")
    kind = _TYPES.get(str(values.pop("type", None)))
    if kind is None:
        raise EventError("the record is of a kind of event this version does not know")
    known: dict[str, Any] = {}
    unreadable: dict[str, Any] = {}
    for name, annotation in _annotations(kind).items():
        if values.get(name) is not None:
            fits, value = _convert(values[name], annotation)
            (known if fits else unreadable)[name] = value
    if unreadable:
        known["metadata"] = _with_unreadable(known.get("metadata"), unreadable)
    # Whatever is missing must come out the same whenever the record is read again.
    known.setdefault("event_id", blake2b(payload, digest_size=16).hexdigest())
    known.setdefault("occurred_at", _birth(known["event_id"]))
    try:
        return kind(**known)
    except TypeError as error:
        raise EventError(f"the event lacks what its row needs: {error}") from error


@cache
def _annotations(kind: type[Event]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {name: hints[name] for name in kind.__struct_fields__}


def _convert(value: Any, annotation: Any) -> tuple[bool, Any]:
    """Whether `value` can stand in a field of this type, and in which form."""
    try:
        return True, msgspec.convert(value, annotation, strict=False)
    except (msgspec.ValidationError, ValueError, OverflowError):
        if annotation in (str, str | None) and isinstance(value, (int, float, bool, bytes)):
            text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
            return True, printable(text)
        return False, value


def _with_unreadable(metadata: Any, unreadable: dict[str, Any]) -> dict[str, Any]:
    kept = metadata if isinstance(metadata, dict) else {} if metadata is None else {"value": metadata}
    return {**kept, UNREADABLE: unreadable}


def _birth(event_id: str) -> datetime:
    """When an event was born, by its id: the best there is for one whose own time cannot be read."""
    try:
        return from_microseconds(int(event_id[:12], 16) * 1000)
    except (ValueError, OverflowError):
        return from_microseconds(0)
