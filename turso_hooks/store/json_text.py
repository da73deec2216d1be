"""Values as the JSON text that stands in a column; exact, or marked where JSON has no word for it."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from turso_hooks.events.marks import plain

_quote = msgspec.json.Encoder().encode
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def to_json(value: Any) -> str | None:
    """JSON text of `value`; None, which is unknown, stays None.

    Not-a-number, infinities and bytes have no JSON: they take the marked forms of `events.marks`, as do dicts with keys such as
    tuples. Keys that are numbers, booleans or None become text, as JSON has it.
    """
    if value is None:
        return None
    if type(value) is str:
        return _quote(value).decode()
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError):
        return _encode(plain(value, for_json=True))
