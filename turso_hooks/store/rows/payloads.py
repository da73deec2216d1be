"""Values too large for a row that lists have to pass: kept whole elsewhere, in pieces, once if they are the same. Pure.

In its place a row has what is shown of it: of JSON the same with the long texts in it cut, of a text the beginning. The column
of the same name with `_whole` at the end says which payload it is.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from turso_hooks.events.marks import plain
from turso_hooks.store.rows.json_text import to_json
from turso_hooks.store.search import MOST_OUTPUT_CHARS, MOST_TEXT_CHARS

LARGE_CHARS = 64 * 1024
"""Longer values are kept elsewhere; a page of a hundred is read within milliseconds without them."""

LARGE_TEXT_CHARS = MOST_TEXT_CHARS
"""The same of what people and models say: so much of it is searched."""

_SHOWN_CHARS = MOST_OUTPUT_CHARS
"""Of each text in a longer value: so much of it is searched."""

_PIECE_CHARS = 256 * 1024


class Payload(NamedTuple):
    """A large value as text, and its id: the SHA-256 of the text in UTF-8, in hex."""

    id: str
    text: str

    def pieces(self) -> list[tuple[str, int, str]]:
        """Rows of `payloads`: id, the number of the piece from 0, and its text."""
        starts = range(0, len(self.text), _PIECE_CHARS)
        return [(self.id, n, self.text[start : start + _PIECE_CHARS]) for n, start in enumerate(starts)]


class Payloads(list[Payload]):
    """The large values of a row; what is too large for it is put aside here."""

    def text(self, text: str | None, most: int = LARGE_TEXT_CHARS) -> tuple[str | None, str | None]:
        """What stands in the row of a text, and which payload is the whole of it, if that is not all."""
        if text is None or len(text) <= most:
            return text, None
        return text[: most if most >= LARGE_TEXT_CHARS else _SHOWN_CHARS], self._aside(text)

    def json(self, value: Any) -> tuple[str | None, str | None]:
        """The same of a value that stands in the row as JSON."""
        text = to_json(value)
        if text is None or len(text) <= LARGE_CHARS:
            return text, None
        shown = _shown_json(text)
        return (text, None) if shown == text else (shown, self._aside(text))

    def _aside(self, text: str) -> str:
        payload = Payload(hashlib.sha256(text.encode()).hexdigest(), text)
        self.append(payload)
        return payload.id


def is_shown_of(shown: Any, whole: str) -> bool:
    """Whether that is what stands in a row for a payload: if not, somebody has put something else in its place."""
    if not isinstance(shown, str):
        return False
    if len(shown) in {_SHOWN_CHARS, LARGE_TEXT_CHARS} and whole.startswith(shown):
        return True
    return shown == _shown_json(whole)


def _shown_json(text: str) -> str:
    """What is shown of JSON: all of it, if no text in it is long."""
    try:
        shown = to_json(_shown(plain(json.loads(text), for_json=True))) or ""
    except (ValueError, RecursionError):  # deeper than Python reads: its beginning will do
        shown = text
    return shown if len(shown) <= LARGE_TEXT_CHARS else to_json(f"{text[: 2 * _SHOWN_CHARS]}…") or ""


def _shown(value: Any) -> Any:
    """A value with its long texts cut, but for thoughts, which are searched. Its depth is bounded: `plain` has seen to that."""
    if isinstance(value, dict) and value.get("type") == "reasoning" and isinstance(value.get("text"), str):
        return {**value, "text": value["text"][:LARGE_TEXT_CHARS]}
    if isinstance(value, str):
        return value if len(value) <= _SHOWN_CHARS else f"{value[:_SHOWN_CHARS]}… ({len(value):,} characters)"
    if isinstance(value, dict):
        return {key: _shown(each) for key, each in value.items()}
    return [_shown(each) for each in value] if isinstance(value, list) else value
