"""A plugin that hides what looks like a secret, wherever in an event it stands, before anything is kept.

It runs on the agent's thread with whatever an agent hands over. So it never raises, its patterns take time in proportion to the
text, and each value is searched once, to a limited depth. What could not be searched is hidden: keeping it could leak.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

import msgspec

from turso_hooks import Event, NoteAdded, ToolCallPart, ToolResultPart, hookimpl

# Linear: a pattern that fails late does not start again inside what it has read (the first look back of `email` sees to that).
# In JSON as text, and in a repr, a word may follow the `n` of `\n`.
_WORD_BEGINS = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"
_PATTERNS = {
    "[redacted: bearer token]": re.compile(_WORD_BEGINS + r"(?i:bearer)\s{1,8}[A-Za-z0-9._~+/-]{20,}={0,2}"),
    "[redacted: api key]": re.compile(
        _WORD_BEGINS + r"(?:sk-[A-Za-z0-9_-]{20,}"  # OpenAI, Anthropic
        r"|[rs]k_(?:live|test)_[A-Za-z0-9]{20,}"  # Stripe
        r"|(?:gh[oprsu]|github_pat)_[A-Za-z0-9_]{20,}"  # GitHub
        r"|xox[abeoprs]-[A-Za-z0-9-]{20,}"  # Slack
        r"|A[KS]IA[A-Z0-9]{16}"  # AWS
        r"|AIza[A-Za-z0-9_-]{35})"  # Google
    ),
    "[redacted: email]": re.compile(r"(?<![\w.%+-])[\w.%+-]+@[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}"),  # not `name@1.2.3`
}
_NOT_SEARCHED = "[redacted: not searched]"
_DROPPED_NOTE = "scratchpad"

_MAX_DEPTH = 100
"""Levels of nesting that are searched: as many as the recorder keeps of a value it has to rewrite."""

_WITH_IDS = (Event, ToolCallPart, ToolResultPart)
"""Of these, fields ending in `_id` stay as they are: rows meet by them."""

_FIELDS_OF_MODELS = ("__dataclass_fields__", "__attrs_attrs__", "model_fields")
"""Where dataclasses, attrs and pydantic declare fields. The recorder keeps all of them, also those that no repr shows."""


@hookimpl
def redact_event(event: Event) -> Event | None:
    """The event as it may be kept: the very same one if nothing is to be hidden, None for a note named `scratchpad`."""
    if isinstance(event, NoteAdded) and event.name == _DROPPED_NOTE:
        return None
    redacted = _Search().redacted(event)
    return redacted if isinstance(redacted, Event) else None


def redact_text(text: str) -> str:
    """`text` with a mark in place of each secret; the very same one if there is none."""
    redacted = text
    for mark, pattern in _PATTERNS.items():
        redacted = pattern.sub(mark, redacted)
    return text if redacted == text else redacted


class _Search:
    """One walk through an event. What it changes it copies; what needs no change it gives back as it is."""

    def __init__(self) -> None:
        # By id: the value, so that its id is not given to another meanwhile, and what it became.
        self._searched: dict[int, tuple[object, object]] = {}

    def redacted(self, value: Any, depth: int = 0) -> Any:
        """`value` without secrets. A value that is met inside itself is not searched again."""
        try:
            if isinstance(value, str):
                return redact_text(value)
            if value is None or isinstance(value, (int, float, datetime)):
                return value
            if depth > _MAX_DEPTH:
                return _NOT_SEARCHED
            if id(value) not in self._searched:
                self._searched[id(value)] = value, _NOT_SEARCHED
                self._searched[id(value)] = value, self._copy(value, depth + 1)
            return self._searched[id(value)][1]
        except Exception:  # noqa: BLE001  # a value's own code (items, repr, a property) may raise anything
            return _NOT_SEARCHED

    def _copy(self, value: Any, depth: int) -> Any:
        if isinstance(value, msgspec.Struct):
            return self._struct(value, depth)
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, (list, tuple, AbstractSet, deque)):
            return self._collection(value, depth)
        if isinstance(value, (bytes, bytearray, memoryview)):
            text = bytes(value).decode("latin-1")  # one character a byte, so that the rest stays as it is
            redacted = redact_text(text)
            return value if redacted is text else redacted.encode("latin-1")
        return self._object(value, depth)

    def _struct(self, struct: msgspec.Struct, depth: int) -> msgspec.Struct:
        is_kept = isinstance(struct, _WITH_IDS)
        names = [name for name in struct.__struct_fields__ if not (is_kept and name.endswith("_id"))]
        fields = {name: getattr(struct, name) for name in names}
        redacted = {name: self.redacted(value, depth) for name, value in fields.items()}
        changes = {name: value for name, value in redacted.items() if value is not fields[name]}
        return msgspec.structs.replace(struct, **changes) if changes else struct

    def _mapping(self, mapping: Mapping[Any, Any], depth: int) -> Mapping[Any, Any]:
        redacted: dict[Any, Any] = {}
        is_same = True
        for old_key, old_value in list(mapping.items()):
            key, value = self.redacted(old_key, depth), self.redacted(old_value, depth)
            is_same = is_same and key is old_key and value is old_value
            redacted[f"{key} {len(redacted)}" if key in redacted else key] = value  # two secrets do not become one entry
        return mapping if is_same else redacted

    def _collection(self, values: Collection[Any], depth: int) -> Any:
        items = list(values)
        redacted = [self.redacted(item, depth) for item in items]
        if all(new is old for new, old in zip(redacted, items, strict=True)):
            return values
        return tuple(redacted) if isinstance(values, tuple) else redacted  # a tuple may be a key

    def _object(self, value: object, depth: int) -> Any:
        """Of a model the recorder keeps the fields, of an exception the text, of anything else the repr: search all."""
        declared = next(filter(None, (getattr(type(value), name, None) for name in _FIELDS_OF_MODELS)), ())
        names = [getattr(field, "name", field) for field in declared]
        fields = {name: getattr(value, name, None) for name in names}
        plain = self._mapping(fields, depth)
        if plain is not fields:
            return plain
        for shown in (repr(value), str(value)):
            hidden = redact_text(shown)
            if hidden is not shown:
                return hidden
        return value
