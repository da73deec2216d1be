"""Values as the JSON text that stands in a column; exact, or marked where JSON has no word for it."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from turso_hooks.events.marks import plain

_EXACT_TYPES = frozenset({str, int, bool, type(None)})
_TEXT = frozenset({str})

_quote = msgspec.json.Encoder().encode
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def to_json(value: Any) -> str | None:
    """JSON text of `value`; None, which is unknown, stays None.

    Not-a-number, infinities and bytes have no JSON: they take the marked forms of `events.marks`, as do dicts with keys such as
    tuples. Keys that are numbers, booleans or None become text, as JSON has it.
    """
    if value is None:
        return None
    if type(value) is str or (type(value) is dict and _is_flat(value)):
        return _quote(value).decode()
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError):
        return _encode(plain(value, for_json=True))


def _is_flat(value: dict[Any, Any]) -> bool:
    """Whether msgspec, three times as quick, says the same: it has no words for not-a-number and bytes, and gives none."""
    return _EXACT_TYPES.issuperset(map(type, value.values())) and _TEXT.issuperset(map(type, value))
