"""What every event that is made from what the SDK says has in common. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from turso_hooks.events import utc_now

_SOURCE_RANK = 2


def observed(session_id: str, occurred_at: datetime | None = None) -> dict[str, Any]:
    """The session, the time (now, unless it is given) and the rank of an event."""
    return {"session_id": session_id, "occurred_at": occurred_at or utc_now(), "source_rank": _SOURCE_RANK}
