"""Every text of an event, wherever it stands in it: what a redactor looks at.

Pure, and made for the agent's thread with whatever an agent hands over: nothing that a value's own code raises comes out of it,
each value is looked at once, and to a limited depth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from turso_hooks.events.model import Event, ToolCallPart, ToolResultPart

E = TypeVar("E", bound=Event)

NOT_SEARCHED = "[redacted: not searched]"
"""What stands for a value that could not be looked into: keeping it could leak."""

_MAX_DEPTH = 100
"""Levels of nesting that are looked at: as many as the recorder keeps of a value it has to rewrite."""

_WITH_IDS = (Event, ToolCallPart, ToolResultPart)
"""Of these, fields ending in `_id` stay as they are, for rows meet by them, and so do words that mean something to us."""

_OUR_WORDS = ("role", "status")

_FIELDS_OF_MODELS = ("__dataclass_fields__", "__attrs_attrs__", "model_fields")
"""Where dataclasses, attrs and pydantic declare fields. The recorder keeps all of them, also those that no repr shows."""


def replace_texts(event: E, replace: Callable[[str], str]) -> E:
    """The event with `replace(text)` in place of each of its texts; the very same event if nothing is replaced.

    Texts are those of messages and their parts, inputs and outputs of tools, errors, notes, titles and metadata, to any depth:
    of mappings their keys as well, of models (pydantic, attrs, dataclasses) their fields, of exceptions and other objects what
    the recorder would keep, of bytes one letter a byte (Latin-1). An object in which something is replaced becomes text or a
    mapping of its fields. Its role, its status and its ids, `user_id` among them, stay as they are: rows meet by them.

    A value that cannot be looked into (more than 100 levels deep, one that holds itself, one whose own code raises) becomes
    `[redacted: not searched]`. What `replace` raises is raised: of a redactor that raises, the event is dropped and counted.
    `event` and its values are not changed. May be called from any thread.
    """
    walk = _Walk(replace)
    replaced = walk.replaced(event)
    if walk.failure is not None:
        raise walk.failure
    if not isinstance(replaced, type(event)):  # it has no fields to read: not an event that anybody made with its class
        raise TypeError(f"the texts of {type(event).__name__} cannot be read")
    return replaced


class _Walk:
    """One walk through an event. What it changes it copies; what needs no change it gives back as it is."""

    def __init__(self, replace: Callable[[str], str]) -> None:
        self._replace = replace
        self.failure: Exception | None = None
        """What `replace` raised."""
        # By id: the value, so that its id is not given to another meanwhile, and what it became.
        self._seen: dict[int, tuple[object, object]] = {}

    def replaced(self, value: Any, depth: int = 0) -> Any:
        """`value` with its texts replaced. A value that is met inside itself is not looked at again."""
        try:
            if isinstance(value, str):
                return self._text(value)
            if value is None or isinstance(value, (int, float, datetime)):
                return value
            if depth > _MAX_DEPTH:
                return NOT_SEARCHED
            if id(value) not in self._seen:
                self._seen[id(value)] = value, NOT_SEARCHED
                self._seen[id(value)] = value, self._copy(value, depth + 1)
            return self._seen[id(value)][1]
        except Exception:  # noqa: BLE001  # a value's own code (items, repr, a property) may raise anything
            return NOT_SEARCHED

    def _text(self, text: str) -> str:
        try:
            replaced = self._replace(text)
        except Exception as error:
            self.failure = error
            raise
        return text if replaced == text else replaced

    def _copy(self, value: Any, depth: int) -> Any:
        if isinstance(value, msgspec.Struct):
            return self._struct(value, depth)
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, (list, tuple, AbstractSet, deque)):
            return self._collection(value, depth)
        if isinstance(value, (bytes, bytearray, memoryview)):
            text = bytes(value).decode("latin-1")  # one character a byte, so that the rest stays as it is
            replaced = self._text(text)
            return value if replaced is text else replaced.encode("latin-1", "replace")
        return self._object(value, depth)

    def _struct(self, struct: msgspec.Struct, depth: int) -> msgspec.Struct:
        is_kept = isinstance(struct, _WITH_IDS)
        names = [name for name in struct.__struct_fields__ if not (is_kept and (name.endswith("_id") or name in _OUR_WORDS))]
        fields = {name: getattr(struct, name) for name in names}
        replaced = {name: self.replaced(value, depth) for name, value in fields.items()}
        changes = {name: value for name, value in replaced.items() if value is not fields[name]}
        return msgspec.structs.replace(struct, **changes) if changes else struct

    def _mapping(self, mapping: Mapping[Any, Any], depth: int) -> Mapping[Any, Any]:
        replaced: dict[Any, Any] = {}
        is_same = True
        for old_key, old_value in list(mapping.items()):
            key, value = self.replaced(old_key, depth), self.replaced(old_value, depth)
            is_same = is_same and key is old_key and value is old_value
            replaced[f"{key} {len(replaced)}" if key in replaced else key] = value  # two secrets do not become one entry
        return mapping if is_same else replaced

    def _collection(self, values: Collection[Any], depth: int) -> Any:
        items = list(values)
        replaced = [self.replaced(item, depth) for item in items]
        if all(new is old for new, old in zip(replaced, items, strict=True)):
            return values
        return tuple(replaced) if isinstance(values, tuple) else replaced  # a tuple may be a key

    def _object(self, value: object, depth: int) -> Any:
        """Of a model the recorder keeps the fields, of an exception the text, of anything else the repr: look at all."""
        declared = next(filter(None, (getattr(type(value), name, None) for name in _FIELDS_OF_MODELS)), ())
        names = [getattr(field, "name", field) for field in declared]
        fields = {name: getattr(value, name, None) for name in names}
        plain = self._mapping(fields, depth)
        if plain is not fields:
            return plain
        for shown in (repr(value), str(value)):
            hidden = self._text(shown)
            if hidden is not shown:
                return hidden
        return value
