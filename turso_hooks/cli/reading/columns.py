"""The columns that sessions can be listed with, and a session as a line for other programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import click

from turso_hooks.cli.text import one_line
from turso_hooks.query import SessionSummary

COLUMNS: dict[str, Callable[[SessionSummary], datetime | int | str | None]] = {
    "session": lambda session: session.session_id,
    "started": lambda session: session.started_at,
    "ended": lambda session: session.ended_at,
    "seen": lambda session: session.seen_at,
    "agent": lambda session: session.agent_type,
    "model": lambda session: session.model,
    "provider": lambda session: session.provider,
    "project": lambda session: session.project,
    "user": lambda session: session.user_id,
    "runner": lambda session: session.runner,
    "parent": lambda session: session.parent_session_id,
    "status": lambda session: session.status,
    "messages": lambda session: session.message_count,
    "tools": lambda session: session.tool_call_count,
    "title": lambda session: session.title,
    "error": lambda session: session.error_message,
}

IN_A_PIPE = ("session", "started", "agent", "model", "status", "messages", "tools", "title")


class Columns(click.ParamType):  # type: ignore[type-arg]  # it takes none before click 8.3
    """Names of columns with commas between."""

    name = "columns"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The columns that are meant."""
        names = tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else tuple(value)
        for name in names:
            if name not in COLUMNS:
                self.fail(f"there is no column {name!r:.40}: they are {', '.join(COLUMNS)}", param, ctx)
        return names


def session_line(session: SessionSummary, columns: Sequence[str]) -> str:
    """A session as one line of fields separated by tabs."""
    return "\t".join(one_line(_plain(COLUMNS[column](session))) for column in columns)


def _plain(value: datetime | int | str | None) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else str(value)
