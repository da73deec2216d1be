"""The same reading for asyncio and trio: each question in a thread, one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from functools import partial
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio import to_thread

from turso_hooks.events import Event
from turso_hooks.query.pages import Page
from turso_hooks.query.reader import Reader, connect_sync
from turso_hooks.query.results import (
    Conversation,
    Found,
    Message,
    ModelCall,
    SessionSummary,
    SessionTree,
    SqlResult,
    Tail,
    ToolCall,
)
from turso_hooks.query.stats import Stats

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from turso_hooks.query.filters import Filters, SessionFilters

T = TypeVar("T")

_EVENTS_AT_ONCE = 500


def connect(url: str | None = None, auth_token: str | None = None) -> AsyncReader:
    """The same as `connect_sync`, for asyncio and trio."""
    return AsyncReader(connect_sync(url, auth_token))


class AsyncReader:
    """Reads what was logged: the methods of `Reader`, to be awaited. Tasks that ask at once wait for each other.

    A question that is cancelled is answered nevertheless before the next one is asked: a thread cannot be stopped.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._one_at_a_time = anyio.Lock()

    async def __aenter__(self) -> Self:
        """Nothing is opened before it is read."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        with anyio.CancelScope(shield=True):
            await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._ask(self._reader.close)

    async def list_sessions(
        self, *, order: str = "started", limit: int = 50, cursor: str | None = None, **filters: Unpack[SessionFilters]
    ) -> Page[SessionSummary]:
        """See `Reader.list_sessions`."""
        return await self._ask(partial(self._reader.list_sessions, order=order, limit=limit, cursor=cursor, **filters))

    async def session_summary(self, session_id: str) -> SessionSummary:
        """See `Reader.session_summary`."""
        return await self._ask(partial(self._reader.session_summary, session_id))

    async def get_session(self, session_id: str, *, only: Collection[str] | None = None) -> Conversation:
        """See `Reader.get_session`."""
        return await self._ask(partial(self._reader.get_session, session_id, only=only))

    async def to_messages(self, session_id: str, *, format: str = "openai") -> dict[str, Any]:  # noqa: A002  # the word for it
        """See `Reader.to_messages`."""
        return await self._ask(partial(self._reader.to_messages, session_id, format=format))

    async def children(self, session_id: str) -> SessionTree:
        """See `Reader.children`."""
        return await self._ask(partial(self._reader.children, session_id))

    async def messages(
        self, session_id: str, *, role: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[Message]:
        """See `Reader.messages`."""
        return await self._ask(partial(self._reader.messages, session_id, role=role, limit=limit, cursor=cursor))

    async def tool_calls(  # by name
        self,
        session_id: str | None = None,
        *,
        tool_name: str | None = None,
        tool_status: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
        **filters: Unpack[Filters],
    ) -> Page[ToolCall]:
        """See `Reader.tool_calls`."""
        options = {"tool_name": tool_name, "tool_status": tool_status, "limit": limit, "cursor": cursor}
        return await self._ask(partial(self._reader.tool_calls, session_id, **options, **filters))  # type: ignore[arg-type]

    async def model_calls(self, session_id: str, *, limit: int = 100, cursor: str | None = None) -> Page[ModelCall]:
        """See `Reader.model_calls`."""
        return await self._ask(partial(self._reader.model_calls, session_id, limit=limit, cursor=cursor))

    async def search(  # noqa: PLR0913  # by name
        self,
        query: str,
        *,
        order: str = "newest",
        kind: str | None = None,
        session_id: str | None = None,
        limit: int = 20,
        cursor: str | None = None,
        **filters: Unpack[Filters],
    ) -> Found:
        """See `Reader.search`."""
        options = {"order": order, "kind": kind, "session_id": session_id, "limit": limit, "cursor": cursor}
        return await self._ask(partial(self._reader.search, query, **options, **filters))  # type: ignore[arg-type]

    async def tail(
        self, session_id: str | None = None, *, limit: int = 20, cursor: str | None = None, **filters: Unpack[Filters]
    ) -> Tail:
        """See `Reader.tail`."""
        return await self._ask(partial(self._reader.tail, session_id, limit=limit, cursor=cursor, **filters))

    async def events(self, session_id: str) -> AsyncIterator[Event]:
        """See `Reader.events`."""
        found = await self._ask(partial(self._reader.events, session_id))
        while events := await self._ask(lambda: list(islice(found, _EVENTS_AT_ONCE))):
            for event in events:
                yield event

    async def stats(self, by: str = "day", **filters: Unpack[Filters]) -> Stats:
        """See `Reader.stats`."""
        return await self._ask(partial(self._reader.stats, by, **filters))

    async def sql(self, sql: str, arguments: Sequence[Any] = ()) -> SqlResult:
        """See `Reader.sql`."""
        return await self._ask(partial(self._reader.sql, sql, arguments))

    async def _ask(self, question: Callable[[], T]) -> T:
        async with self._one_at_a_time:
            return await to_thread.run_sync(question)
