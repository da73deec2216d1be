"""Precedence keys: texts that sort as the claims of events do, made and read. Pure.

What they decide, column by column, is the merging rule (see `merging`).
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple


def precedence_key(source_rank: int, occurred_us: int, event_id: str) -> str:
    """The text by which the claims of one event are compared with another's: rank, time, event id.

    `occurred_us` is microseconds since 1970; earlier times count as 1970, ranks are cut to 0 to 9. Both are of fixed width,
    so that the texts sort as the three values would.
    """
    return f"{_digit(source_rank)}{max(0, occurred_us):014x}{event_id}"


def status_key(source_rank: int, occurred_us: int, event_id: str, *, is_end: bool) -> str:
    """As `precedence_key`, but time comes first: the latest start or end of a session decides, whoever saw it.

    Of a start and an end at one time, as in a transcript without times, the end is the later.
    """
    return f"{max(0, occurred_us):014x}{is_end:d}{_digit(source_rank)}{event_id}"


class Key(NamedTuple):
    """What a precedence key says."""

    source_rank: int
    microseconds: int
    event_id: str


def deciding_key(provenance: str | None) -> Key | None:
    """The greatest key of a row's provenance; None if another program wrote the row, or there is none that can be read."""
    if provenance is not None and provenance.startswith("{"):
        try:
            keys = json.loads(provenance).values()
        except ValueError:
            return None
        provenance = max((key for key in keys if isinstance(key, str)), default=None)
    return _key_of(provenance, r"(\d)([0-9a-f]{14})(.*)", (1, 2, 3))


def read_key(status_key: str | None) -> Key | None:
    """The key of what decided a session's status; None if there is none."""
    return _key_of(status_key, r"([0-9a-f]{14})\d(\d)(.*)", (2, 1, 3))


def _key_of(text: Any, pattern: str, groups: tuple[int, int, int]) -> Key | None:
    found = re.fullmatch(pattern, text, re.DOTALL) if isinstance(text, str) else None
    if found is None:
        return None
    source_rank, microseconds, event_id = found.group(*groups)
    return Key(int(source_rank), int(microseconds, 16), event_id)


def _digit(source_rank: int) -> int:
    return source_rank if 0 <= source_rank <= 9 else min(max(source_rank, 0), 9)  # noqa: PLR2004  # one digit
