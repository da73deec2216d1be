"""Every text of an event, wherever it stands in it: what a redactor looks at.

Pure, and made for the agent's thread with whatever an agent hands over. What an event holds beside texts and our own structs is
first made what the recorder would keep of it (see `marks`), so that nothing is kept that was not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from turso_hooks.events.marks import plain
from turso_hooks.events.model import Event, FilePart, ReasoningPart, TextPart, ToolCallPart, ToolResultPart, Usage

E = TypeVar("E", bound=Event)

_WITHIN_EVENTS = (TextPart, ReasoningPart, FilePart, ToolCallPart, ToolResultPart, Usage)

_OUR_WORDS: Mapping[str, tuple[str, ...]] = {
    "role": ("system", "user", "assistant", "tool"),
    "status": ("completed", "error", "cancelled"),
}

_IDS_OF_PARTS = ("type", "tool_call_id")
"""What parts that are mappings have in common with those that are structs: what they are, and by what they are known."""


def replace_texts(event: E, replace: Callable[[str], str]) -> E:
    """The event with `replace(text)` in place of each of its texts; the very same event if nothing is replaced.

    Texts are those of messages and their parts, inputs and outputs of tools, errors, notes, titles and metadata: of mappings
    their keys as well, of models (pydantic, attrs, dataclasses) their fields, of exceptions their message, of other objects
    their repr, of bytes one letter a byte (Latin-1). Its role, its status and its ids, `user_id` among them, stay as they are
    where they are texts: rows meet by them.

    Values of other types than those of JSON come back as the recorder keeps them, as dicts and lists; so do values that hold
    themselves, raise, or are more than 100 levels deep, which it marks (`{"$type": "cycle", …}`). What `replace` raises is
    raised: of a redactor that raises, the event is dropped and counted. `event` and its values are not changed. May be called
    from any thread. Takes some microseconds for each value that is no text.
    """
    texts = _Texts(replace)
    replaced: E = texts.struct(event)
    if texts.failure is not None:
        raise texts.failure
    return replaced


class _Texts:
    """Replaces texts, and remembers what went wrong at that."""

    def __init__(self, replace: Callable[[str], str]) -> None:
        self._replace = replace
        self.failure: Exception | None = None
        """What `replace` raised first; it is not called again then."""

    def struct(self, struct: Any) -> Any:
        """One of our structs; the very same one if nothing is replaced."""
        changes = {}
        for name in struct.__struct_fields__:
            value = getattr(struct, name)
            if type(value) is str and (name.endswith("_id") or value in _OUR_WORDS.get(name, ())):
                continue
            replaced = self._parts(value) if name == "content" else self._value(value)
            if replaced is not value:
                changes[name] = replaced
        return msgspec.structs.replace(struct, **changes) if changes else struct

    def _parts(self, content: Any) -> Any:
        """A message's content: text, or a list of parts."""
        if type(content) not in {list, tuple}:
            return self._value(content)
        parts = [self._part(part) for part in content]
        return content if all(new is old for new, old in zip(parts, content, strict=True)) else parts

    def _part(self, part: Any) -> Any:
        if type(part) is not dict:
            return self._value(part)
        ids = {name: part[name] for name in _IDS_OF_PARTS if type(part.get(name)) is str}
        rest = {name: value for name, value in part.items() if name not in ids}
        replaced = self._value(rest)
        return part if replaced is rest else {**ids, **replaced}

    def _value(self, value: Any) -> Any:
        kind = type(value)  # what a value says of itself may be its own code
        if value is None or issubclass(kind, datetime):
            return value
        if kind is str:
            return self._text(value)
        if kind in _WITHIN_EVENTS:
            return self.struct(value)
        kept = plain(value, replace=self._text)
        return value if _is_same(kept, value) else kept

    def _text(self, text: str) -> str:
        if self.failure is not None:
            raise self.failure
        try:
            replaced = self._replace(text)
        except (RecursionError, MemoryError):  # it is not to blame: what it was called from is deep, or large
            raise
        except Exception as error:
            self.failure = error
            raise
        return text if replaced == text else replaced


def _is_same(kept: Any, value: Any) -> bool:
    """Whether `kept` is what `value` was, of the types of JSON and nothing else, and so is kept in the same way."""
    if kept is value:
        return True
    if type(kept) is list and type(value) in {list, tuple}:
        return len(kept) == len(value) and all(map(_is_same, kept, value))
    if type(kept) is dict and type(value) is dict:
        return len(kept) == len(value) and all(
            type(key) is str and _is_same(kept.get(key, _NOT_THERE), child) for key, child in value.items()
        )
    return False


_NOT_THERE = object()
