"""How far a source of OpenCode's sessions was read. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple


class Progress(NamedTuple):
    """How far a source was read, by what it says itself; nothing of it, by default."""

    since: datetime | None = None
    """The time, by the source's clock, up to which all changes are known."""

    session_id: str | None = None
    """A session that was there. If it is not any more, this may be another source at the same place."""

    unfinished: tuple[str, ...] = ()
    """Sessions of which more is to come, whatever their time says."""
