"""Reading a database: a file on a connection that cannot write, a server with whatever rights the token has."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from turso_hooks.drivers import Database
from turso_hooks.errors import DatabaseUnusable, QueryError
from turso_hooks.events import Event, utc_now
from turso_hooks.query import entries, sessions
from turso_hooks.query.asking import Asker
from turso_hooks.query.entries import MESSAGES, MODEL_CALLS, TOOL_CALLS
from turso_hooks.query.filters import Condition, Filters, SessionFilters, meant_by
from turso_hooks.query.pages import Page
from turso_hooks.query.replaying import events_of
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
from turso_hooks.query.resuming import request_of
from turso_hooks.query.search import Searcher
from turso_hooks.query.stats import Stats, stats
from turso_hooks.settings import load_settings
from turso_hooks.store import open_store

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


def connect_sync(url: str | None = None, auth_token: str | None = None) -> Reader:
    """Open a database for reading: the one at `url`, or else the one the environment names, with its token.

    Raises `SettingsError` if there is none, or its URL cannot be read.
    """
    return Reader(open_store(load_settings(database_url=url, auth_token=auth_token), read_only=True))


class Reader:
    """Reads what was logged, and writes nothing. To be used by one thread at a time.

    Every method raises `DatabaseError` as it comes, `QueryError` for a question that is none, and `SessionNotFound` for a
    session that is not there; a session is named by its id or the beginning of it. A database with a newer schema is refused:
    what its columns mean is not known here. Each method says how many rows it reads at most: on Turso they are paid for.
    """

    def __init__(self, database: Database, now: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._asker = Asker(database, now)
        self._searcher = Searcher(self._asker)

    def __enter__(self) -> Self:
        """Nothing is opened before it is read."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def list_sessions(
        self, *, order: str = "started", limit: int = 50, cursor: str | None = None, **filters: Unpack[SessionFilters]
    ) -> Page[SessionSummary]:
        """Sessions, those that were `started` or `seen` last first.

        Reads as many sessions as are on the page, and the index entries of what is in them, by which it is counted. So it does
        with a filter by time and one of agent_type, model, project, user_id, status, parent; with further ones, patterns,
        `running` and `interrupted`, or another order it looks at 10,000 sessions a page at most.
        """
        text = filters.get("text")
        with_text = self._searcher.sessions_with(text) if text is not None else None
        return sessions.list_sessions(self._asker, filters, order=order, limit=limit, cursor=cursor, with_text=with_text)

    def session_summary(self, session_id: str) -> SessionSummary:
        """A session without what is in it. Reads it, and the index entries of what is in it."""
        return sessions.find_session(self._asker, session_id)

    def get_session(self, session_id: str, *, only: Collection[str] | None = None) -> Conversation:
        """A session with all that is in it and in its sub-agents'. Reads that, each row once.

        With `only`, some of messages, tool_calls, model_calls, notes, the others are not read, and there are none in it.
        """
        return entries.conversation_of(self._asker, sessions.find_session(self._asker, session_id), only)

    def events(self, session_id: str) -> Iterator[Event]:
        """A session as the events that would log it again, its start first, the rest in reading order.

        They make the same rows in another database, and there the same events come out: this is how `export jsonl` and
        `import jsonl` carry conversations over. Reads what is in the session, a page at a time.
        """
        return events_of(self._asker, self._id_of(session_id))

    def to_messages(self, session_id: str, *, format: str = "openai") -> dict[str, Any]:  # noqa: A002  # the word for it
        """What an agent needs to go on with a session: keyword arguments for a provider's API.

        `openai`: `messages` for `client.chat.completions.create`. `anthropic`: `messages` and, if there is one, `system` for
        `client.messages.create`. Every tool call has one answer, as these refuse others: one that was interrupted is told to
        have been. What sub-agents said is not in it. Reads the session's messages and tool calls.
        """
        conversation = entries.conversation_of(
            self._asker, sessions.find_session(self._asker, session_id), ("messages", "tool_calls"), with_children=False
        )
        return request_of(conversation, format)

    def children(self, session_id: str) -> SessionTree:
        """A session and its sub-agents, theirs and so on, with what is in each alone and in all together.

        Reads their sessions and model calls, and the index entries of their messages, once; of tool calls the rows.
        """
        return sessions.session_tree(self._asker, sessions.find_session(self._asker, session_id))

    def messages(
        self, session_id: str, *, role: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[Message]:
        """The messages of a session in reading order. Reads those on the page, and with a `role` those between them."""
        where = Condition()
        if role is not None:
            where.add("role = ?", role)
        return entries.in_session(self._asker, MESSAGES, self._id_of(session_id), where, limit=limit, cursor=cursor)

    def tool_calls(  # by name
        self,
        session_id: str | None = None,
        *,
        tool_name: str | None = None,
        tool_status: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
        **filters: Unpack[Filters],
    ) -> Page[ToolCall]:
        """The tool calls of a session in reading order; or of all sessions, those that were logged last first.

        Reads those on the page; with a `tool_name` or a `tool_status` (running, completed, error, cancelled) of a session those
        between them; of all sessions it looks at 10,000 a page at most.
        """
        where = Condition()
        for column, value in (("tool_name", tool_name), ("status", tool_status)):
            if value is not None:
                where.add(f"tool_executions.{column} = ?", value)
        if session_id is not None:
            return entries.in_session(self._asker, TOOL_CALLS, self._id_of(session_id), where, limit=limit, cursor=cursor)
        of_session = meant_by(filters, self._asker.now()).together()
        return entries.newest_tool_calls(self._asker, where, of_session, limit=limit, cursor=cursor)

    def model_calls(self, session_id: str, *, limit: int = 100, cursor: str | None = None) -> Page[ModelCall]:
        """The model calls of a session in reading order. Reads those on the page."""
        return entries.in_session(self._asker, MODEL_CALLS, self._id_of(session_id), Condition(), limit=limit, cursor=cursor)

    def search(  # noqa: PLR0913  # by name
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
        """What is found by some words, in messages, in what tools are called with and print, in titles and errors.

        All words must be there: `"in quotes"` next to each other, `begin*` as the beginning of one, `this OR that` one of
        them, `-that` or `NOT that` not; parentheses hold together. Small and capital letters, é and e are the same. Nothing
        that is typed is wrong. Of a tool's output, and of what it is called with, the first 4,096 characters are searched.

        `order` is `newest`, or `relevance`: then the newest 500 matches are scored, by how often the words are in them, how
        rare these are among the 500, and how short the text is. `kind` is session, message, tool_call or model_call. Here
        `since` and `until` say when what is found happened.

        Reads an index entry, a row and its session for each match looked at, which are those on the page, and as filters leave
        some out, 10,000 at most; and up to 1,000 rows of each kind that are not in the index yet. Without an index (see
        `Found.has_index`), or for words that are only not to be there, 20,000 rows of each kind.
        """
        if session_id is not None:
            session_id = self._id_of(session_id)
        return self._searcher.search(query, filters, order=order, kind=kind, session_id=session_id, limit=limit, cursor=cursor)

    def tail(
        self, session_id: str | None = None, *, limit: int = 20, cursor: str | None = None, **filters: Unpack[Filters]
    ) -> Tail:
        """The messages and tool calls that were logged last; with a `cursor`, what was logged since, at most `limit` of each.

        A tool call that was running comes once more when it is over. Reads what it gives, and their sessions; with filters
        10,000 rows of each kind at most.
        """
        of_session = meant_by(filters, self._asker.now()).together()
        one = self._id_of(session_id) if session_id is not None else None
        return entries.tail(self._asker, of_session, one, limit=limit, cursor=cursor)

    def stats(self, by: str = "day", **filters: Unpack[Filters]) -> Stats:
        """How much there is of everything: sessions, messages, calls, errors, tokens, costs, durations.

        Of each `day`, `month`, `model`, `provider`, `tool`, `agent_type`, `project`, `user_id` or `runner`, and in total. Here
        `since` and `until` say when it happened: all days of UTC that they touch. It is right at once after whatever was
        written, changed or deleted, by any program.

        Reads a row for each value, kind of thing and bucket of durations in each whole month and each other day (by day: in
        each day), and of what was logged in the last seconds a few for each session; however many messages there are. With
        other filters it reads a few rows for each session that is meant, and day of it.
        """
        return stats(self._asker, by, filters)

    def sql(self, sql: str, arguments: Sequence[Any] = ()) -> SqlResult:
        """The result of any query in SQL. A file is opened so that it cannot be written; a server may obey, if its token may.

        Reads what the query reads.
        """
        try:
            result = self._asker.result("run SQL", sql, arguments)
        except DatabaseUnusable as error:
            if "readonly" in error.problem:
                raise QueryError("what reads a database cannot write to it: use another program for that") from error
            raise
        return SqlResult(columns=result.columns, rows=result.rows)

    def _id_of(self, session_id: str) -> str:
        return sessions.find_id(self._asker, session_id)
