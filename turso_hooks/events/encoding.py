"""Events as bytes, for the journal: msgpack, which keeps NaN and bytes as they are (JSON keeps neither).

Three ways, from quick to careful. `encode` is msgspec's own encoder and raises on what it does not know. `encode_marked`
never raises for a value: it rewrites it (see `marks`). `encode_cut` makes an event fit a size: the longest texts are cut, and
say so in their place with their true length, so that the mark travels wherever the value goes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from turso_hooks.events.marks import class_name, plain, printable
from turso_hooks.events.model import Event, hook_name
from turso_hooks.events.times import in_utc

encode = msgspec.msgpack.Encoder().encode
"""An event as msgpack, fast; raises on anything msgpack has no form for."""

_MARK_BYTES = 80
"""Room for the words that say what was cut."""

_LONGEST_ID_CHARS = 200
"""Ids up to here are never cut."""

_MANY_LEAVES = 10_000
"""Beyond this number of long values, fields are cut whole: no single text is to blame for the size."""


def encode_marked(event: Event) -> bytes:
    """As `encode`, with everything that has no encoding rewritten into marked forms. Does not raise because of a value."""
    return encode(_tree(event))


def encode_cut(event: Event, max_bytes: int) -> bytes:
    """As `encode_marked`, in at most `max_bytes` (at least 4 KiB): what is longest is cut and marked.

    A cut text ends in `… [cut: 1000 of 20000000 bytes]`; bytes become `{"$type": "cut", "bytes": 20000000, "head": …}`, and a
    field made of too many small values `{"$type": "cut", "class": "list", "bytes": …}`.
    """
    tree = _tree(event)
    ids = {name: value for name, value in tree.items() if _is_id(name, value)}
    rest = {name: value for name, value in tree.items() if name not in ids}
    _cut_leaves(rest, max_bytes - len(encode(ids)))
    tree |= rest
    largest_first = sorted(rest.keys(), key=lambda name: len(encode(tree[name])))
    while len(payload := encode(tree)) > max_bytes and largest_first:
        name = largest_first.pop()
        tree[name] = _cut_whole(tree[name], max_bytes)
    return payload


def _is_id(name: str, value: Any) -> bool:
    """Whether a field tells rows apart, so that cutting it would make two of them one; one that is too long for that is cut."""
    return name == "type" or (name.endswith("_id") and isinstance(value, str) and len(value) <= _LONGEST_ID_CHARS)


def _tree(event: Event) -> dict[str, Any]:
    """The event as a dict of encodable values; texts of its own fields stay texts."""
    tree: dict[str, Any] = {"type": hook_name(event)}
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if isinstance(value, datetime) and name == "occurred_at":
            value = in_utc(value)  # its own zone may take it out of the years there are
        tree[name] = printable(value) if isinstance(value, str) else plain(value)
    return tree


def _cut_whole(value: Any, max_bytes: int) -> Any:
    if isinstance(value, str):
        return _cut_text(value, max_bytes // 32)
    return {"$type": "cut", "class": class_name(value), "bytes": len(encode(value))}


def _cut_text(text: str, keep_bytes: int) -> str:
    raw = text.encode("utf-8")
    if len(raw) <= keep_bytes + _MARK_BYTES:
        return text
    head = raw[:keep_bytes].decode("utf-8", "ignore")
    return f"{head}… [cut: {len(head.encode('utf-8'))} of {len(raw)} bytes]"


def _cut_leaf(value: str | bytes, keep_bytes: int) -> Any:
    if isinstance(value, str):
        return _cut_text(value, keep_bytes)
    if len(value) <= keep_bytes + _MARK_BYTES:
        return value
    return {"$type": "cut", "bytes": len(value), "head": value[:keep_bytes]}


def _cut_leaves(tree: dict[str, Any], max_bytes: int) -> None:
    """Cut the longest texts and bytes of a tree to one common length, such that the whole fits, if that can be done."""
    places = _leaf_places(tree)
    excess = len(encode(tree)) - max_bytes
    if excess <= 0 or not 0 < len(places) <= _MANY_LEAVES:
        return
    sizes = sorted((len(encode(holder[slot])) for holder, slot in places), reverse=True)
    keep = _common_length(sizes, excess)
    for holder, slot in places:
        holder[slot] = _cut_leaf(holder[slot], keep)


def _common_length(sizes: list[int], excess: int) -> int:
    """To how many bytes the largest of `sizes` (descending) must be cut so that `excess` goes, marks included."""
    saved = 0
    for count, (size, following) in enumerate(zip(sizes, [*sizes[1:], 0], strict=True), start=1):
        needed = excess + count * _MARK_BYTES
        saved_at_following = saved + count * (size - following)
        if saved_at_following >= needed:
            return max(size - -(-(needed - saved) // count) - _MARK_BYTES, 0)
        saved = saved_at_following
    return 0


def _leaf_places(tree: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Where in a tree the texts and bytes are that are long enough to be worth cutting: (container, key or index)."""
    places: list[tuple[Any, Any]] = []
    stack: list[Any] = [tree]
    while stack:
        holder = stack.pop()
        slots = list(holder) if isinstance(holder, dict) else range(len(holder))
        for slot in slots:
            value = holder[slot]
            if isinstance(value, (dict, list)):
                stack.append(value)
            elif isinstance(value, (str, bytes)) and len(value) > 2 * _MARK_BYTES and slot != "type":
                places.append((holder, slot))
    return places
