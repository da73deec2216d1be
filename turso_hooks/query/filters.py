"""Which sessions are meant: filters, and the SQL that finds them without reading the others. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, TypedDict

from turso_hooks.errors import QueryError
from turso_hooks.events import to_microseconds

STATUSES = ("running", "interrupted", "completed", "error", "cancelled")

SILENT_FOR = timedelta(hours=24)
"""A session without an end of which nothing was seen for so long counts as interrupted."""


class Filters(TypedDict, total=False):
    """Which sessions are meant: those to which all of these apply. None is as good as left out.

    In texts a `*` stands for anything: `model="claude-*"`. Times without a zone are those of this machine.
    """

    agent_type: str | None
    model: str | None
    provider: str | None
    project: str | None
    user_id: str | None
    runner: str | None
    status: str | None
    """One of `running`, `interrupted`, `completed`, `error`, `cancelled`."""
    parent: str | None
    """The id of the session that started them as sub-agents."""
    since: datetime | None
    """They began then or later."""
    until: datetime | None
    """They began before then."""


class SessionFilters(Filters, total=False):
    """Which sessions are meant; see `Filters`."""

    text: str | None
    """Something in them is found by this; see `Reader.search`. Of many matches the newest thousand count."""


@dataclass
class Condition:
    """SQL of a WHERE, and its arguments."""

    parts: list[str] = field(default_factory=list)
    arguments: list[Any] = field(default_factory=list)

    def add(self, sql: str, *arguments: Any) -> None:
        """One more that must hold."""
        self.parts.append(sql)
        self.arguments += arguments

    @property
    def sql(self) -> str:
        """All of them; true if there are none."""
        return " AND ".join(self.parts) or "true"


@dataclass
class Meant:
    """Filters as SQL."""

    found_by: Condition
    """What an index finds, in the order of time."""
    checked: Condition
    """What has to be looked at in each row."""

    def together(self) -> Condition:
        """All of it, where no index helps."""
        return Condition([*self.found_by.parts, *self.checked.parts], [*self.found_by.arguments, *self.checked.arguments])


_COLUMNS = {
    "parent": "parent_session_id",
    "user_id": "user_id",
    "project": "project",
    "status": "status",
    "agent_type": "agent_type",
    "model": "model",
    "provider": "provider",
    "runner": "runner",
}
"""Those with an index first, and of these those that leave the fewest."""

_INDEXED = frozenset({"parent", "user_id", "project", "status", "agent_type", "model"})


def meant_by(filters: Mapping[str, Any], now: datetime, session_ids: Iterable[str] | None = None) -> Meant:
    """Filters as SQL, on a table `sessions`; `session_ids` are those with the text. Raises `QueryError`."""
    unknown = filters.keys() - Filters.__annotations__.keys() - SessionFilters.__annotations__.keys()
    if unknown:
        raise TypeError(f"there is no filter {', '.join(sorted(unknown))}")
    found_by, checked = Condition(), Condition()
    if session_ids is not None:
        found_by.add("id IN (SELECT value FROM json_each(?))", json.dumps(list(session_ids)))
    for name, column in _COLUMNS.items():
        value = filters.get(name)
        if value is None:
            continue
        where = found_by if name in _INDEXED and not found_by.parts and "*" not in value else checked
        if name == "status":
            _add_status(where, checked, value, now)
        elif "*" in value:
            checked.add(f"sessions.{column} GLOB ?", _pattern(value))
        else:
            where.add(f"sessions.{column} = ?", value)
            if name == "parent":  # as its index says; Turso's engine (0.6) does not see that it follows
                where.add("sessions.parent_session_id IS NOT NULL")
    for name, compared in (("since", ">="), ("until", "<")):
        moment = filters.get(name)
        if moment is not None:
            found_by.add(f"sessions.occurred_ms {compared} ?", milliseconds(moment))
    return Meant(found_by, checked)


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return to_microseconds(moment.astimezone(timezone.utc)) // 1000


def silent_before(now: datetime) -> int:
    """What was seen last before this (in milliseconds) and has no end is interrupted."""
    return milliseconds(now - SILENT_FOR)


def _add_status(where: Condition, checked: Condition, status: str, now: datetime) -> None:
    if status not in STATUSES:
        raise QueryError(f"there is no status {status!r:.40}: it is one of {', '.join(STATUSES)}")
    where.add("sessions.status = ?", "running" if status == "interrupted" else status)
    if status in {"running", "interrupted"}:
        compared = "<" if status == "interrupted" else ">="
        checked.add(f"coalesce(sessions.seen_ms, 0) {compared} ?", silent_before(now))


def _pattern(text: str) -> str:
    """A pattern for GLOB in which only `*` means something."""
    return "".join(f"[{letter}]" if letter in "[?" else letter for letter in text)
