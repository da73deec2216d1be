r"""Rewriting what has no encoding of its own into what has: marked forms, `{"$type": …}`, that say what was there.

Agents hand over anything. `plain` turns any value into None, booleans, numbers, text, bytes, dates, lists and dicts with text
keys. It never raises because of the value, walks without recursion, and stops at limits: `MAX_DEPTH` levels, `MAX_NODES`
values, and wherever a container holds itself. What it could not keep as it was, it marks:

    {"$type": "int", "value": "1267650600228229401496703205376"}      beyond 64 bits
    {"$type": "text", "escaped": "a\\ud800"}                         lone surrogates
    {"$type": "path", "value": "/tmp/x"}    {"$type": "exception", "class": "ValueError", "message": "…"}
    {"$type": "map", "items": [[key, value], …]}                      keys that are not text
    {"$type": "object", "class": "app.Thing", "repr": "<…>"}          no encoding at all
    {"$type": "cycle", "class": "list"}    {"$type": "too_deep", "class": "list"}    {"$type": "too_many", "class": "list"}

Models (pydantic, attrs, dataclasses, structs) become plain dicts of their fields, sets and other collections lists, enums
their values.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any
from uuid import UUID

import msgspec

MAX_DEPTH = 100
"""Levels of nesting kept; deep enough for any data meant to be read, and far from every decoder's limit."""

MAX_NODES = 100_000
"""Values kept of one event; shared references could otherwise multiply without end."""

_MAX_REPR_CHARS = 1000
"""Of an object without an encoding only its repr is known, and some are endless."""

_MAX_DECIMAL_BITS = 10_000
"""Larger integers are written in hex: Python refuses to write more than 4,300 decimal digits (`sys.set_int_max_str_digits`)."""

_ENCODABLE = (datetime, date, time, timedelta, UUID, Decimal)
_encode = msgspec.msgpack.Encoder().encode


def _as_it_is(text: str) -> str:
    return text


def plain(value: Any, *, for_json: bool = False, replace: Callable[[str], str] = _as_it_is) -> Any:
    """`value` rewritten so that msgpack can encode it; see the module's docstring for the forms.

    `for_json` also marks what JSON cannot say: `{"$type": "float", "value": "nan"}`, `{"$type": "bytes", "base64": …}`; dates
    and the like become text. `replace` gives what is to stand for a text, keys included, before anything of it is cut; bytes
    it gets as text of one letter a byte. A value for which it raises is marked as unreadable.
    """
    holder: list[Any] = []
    stack = [_Branch(holder, iter([(None, value)]), None)]
    on_path: set[int] = set()
    budget = MAX_NODES
    while stack:
        branch = stack[-1]
        slot, child = next(branch.children, _END)
        if slot is _STOP:
            stack.pop()
            on_path.discard(branch.identity or 0)
            continue
        budget -= 1
        grown = _grow(child, replace, depth=len(stack), is_on_path=id(child) in on_path, is_spent=budget <= 0)
        if for_json:
            grown = _for_json(grown)
        if isinstance(grown, _Branch):
            stack.append(grown)
            on_path.add(id(child))
            branch.place(slot, grown.output)
        else:
            branch.place(slot, grown)
    return holder[0]


def printable(text: str) -> str:
    r"""`text` with lone surrogates written as escapes (`\\ud800`), so that it can be encoded as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def class_name(value: object) -> str:
    """The full name of a value's class, never raising."""
    kind = type(value)
    try:
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        return printable(f"{module}{kind.__qualname__}")
    except Exception:  # noqa: BLE001  # a metaclass may make properties of these, and they may raise
        return "?"


_STOP = object()
_END = (_STOP, None)


@dataclass
class _Branch:
    """A container being rewritten: where its children go, and those still to come."""

    output: Any
    children: Iterator[tuple[Any, Any]]
    identity: int | None

    def place(self, slot: Any, value: Any) -> None:
        if isinstance(self.output, list):
            self.output.append(value)
        else:
            self.output[slot] = value


def _grow(value: Any, replace: Callable[[str], str], *, depth: int, is_on_path: bool, is_spent: bool) -> Any:
    """Either the finished form of a leaf, or a `_Branch` for a container that may be entered."""
    try:
        leaf = _leaf(value, replace)
        if leaf is not _STOP:
            return leaf
        if is_on_path:
            return _mark("cycle", value)
        if depth > MAX_DEPTH:
            return _mark("too_deep", value)
        if is_spent:
            return _mark("too_many", value)
        branch = _branch(value, replace)
        return _object(value, replace) if branch is None else branch
    except Exception as error:  # noqa: BLE001  # a value's own code (str, items, model_dump) may raise anything
        return {"$type": "unreadable", "class": class_name(value), "error": class_name(error)}


def _mark(kind: str, value: object) -> dict[str, Any]:
    return {"$type": kind, "class": class_name(value)}


def _leaf(value: Any, replace: Callable[[str], str]) -> Any:  # noqa: PLR0911  # a table of types
    """The form of a value that holds no others; `_STOP` for one that does, or that has no form."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return _leaf(value.value, replace)
    if isinstance(value, int):
        return _integer(int(value))
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return _text(replace(str.__str__(value)))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _bytes(bytes(value), replace)
    if isinstance(value, _ENCODABLE):
        _encode(value)
        return value
    if isinstance(value, PurePath):
        return {"$type": "path", "value": printable(replace(str(value)))}
    if isinstance(value, BaseException):
        return {"$type": "exception", "class": class_name(value), "message": printable(replace(str(value)))}
    return _STOP


def _for_json(leaf: Any) -> Any:
    if isinstance(leaf, float) and not math.isfinite(leaf):
        return {"$type": "float", "value": str(leaf)}
    if isinstance(leaf, bytes):
        return {"$type": "bytes", "base64": b64encode(leaf).decode("ascii")}
    return msgspec.to_builtins(leaf) if isinstance(leaf, _ENCODABLE) else leaf


def _integer(value: int) -> Any:
    if -(2**63) <= value < 2**64:
        return value
    return {"$type": "int", "value": str(value) if value.bit_length() <= _MAX_DECIMAL_BITS else hex(value)}


def _bytes(value: bytes, replace: Callable[[str], str]) -> bytes:
    if replace is _as_it_is:
        return value
    text = value.decode("latin-1")
    replaced = replace(text)
    return value if replaced == text else replaced.encode("latin-1", "replace")


def _text(text: str) -> Any:
    escaped = printable(text)
    return text if escaped == text else {"$type": "text", "escaped": escaped}


def _branch(value: Any, replace: Callable[[str], str]) -> _Branch | None:
    fields = _fields(value)
    if fields is not None:
        return _Branch({}, iter(fields.items()), id(value))
    if isinstance(value, Mapping):
        items = list(value.items())
        if all(isinstance(key, str) and printable(key) == key for key, _ in items):
            return _Branch({}, iter(_named([(str.__str__(key), child) for key, child in items], replace)), id(value))
        return _Branch({"$type": "map"}, iter([("items", [list(pair) for pair in items])]), id(value))
    if isinstance(value, (list, tuple, AbstractSet, deque)):
        return _Branch([], iter([(None, child) for child in value]), id(value))
    return None


def _named(items: Iterable[tuple[str, Any]], replace: Callable[[str], str]) -> Iterable[tuple[str, Any]]:
    """Items with their keys replaced; two that become the same are told apart by a number."""
    if replace is _as_it_is:
        return items
    named: dict[str, Any] = {}
    for key, child in items:
        replaced = name = printable(replace(key))
        number = 1
        while name in named:
            number += 1
            name = f"{replaced} {number}"
        named[name] = child
    return named.items()


def _fields(value: Any) -> dict[str, Any] | None:
    """The fields of a model, by name; None for what is no model."""
    kind = type(value)
    if isinstance(value, msgspec.Struct):
        config = kind.__struct_config__
        tag = {config.tag_field: config.tag} if config.tag is not None and config.tag_field else {}
        return {**tag, **{name: getattr(value, name) for name in kind.__struct_fields__}}
    if dataclasses.is_dataclass(kind):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(kind)}
    if hasattr(kind, "__attrs_attrs__"):
        return {field.name: getattr(value, field.name, None) for field in kind.__attrs_attrs__}
    if hasattr(kind, "model_dump") and hasattr(kind, "model_fields"):
        dumped = value.model_dump()
        return dumped if isinstance(dumped, dict) else None
    return None


def _object(value: object, replace: Callable[[str], str]) -> dict[str, Any]:
    text = replace(repr(value))
    shown = text if len(text) <= _MAX_REPR_CHARS else f"{text[:_MAX_REPR_CHARS]}… ({len(text)} characters)"
    return {"$type": "object", "class": class_name(value), "repr": printable(shown)}
