"""Every exception of turso-hooks.

    TursoHooksError
    ├── SettingsError             a setting is missing or wrong: the person who set it can mend it
    ├── EventError                bytes that should be an event are none
    ├── JournalError              the journal cannot take or give a record
    │   ├── JournalFull           its size cap is reached
    │   ├── JournalUnwritable     disk full, read-only, folder gone
    │   └── JournalUnsynced       taken, but not forced to the disk
    ├── DatabaseError             a database operation failed: says which, on what, and what to do next
    │   ├── DatabaseUnavailable   at this moment: locked, timed out, out of reach; trying again is right
    │   │   └── DatabaseLocked    by another program, for a moment
    │   ├── DatabaseUnusable      until a person acts: not a database, no permission, another program's tables
    │   │   └── SchemaTooNew      written by a newer turso-hooks
    │   ├── RowRefused            this row, in this form, will never be taken
    │   ├── RequestTooLarge       so much is not taken at once; less may be
    │   ├── ResponseTooLarge      so much is not given at once; less may be
    │   └── PositionMoved         another shipper has been here, or a newer schema is: nothing was changed
    ├── AgentServerError          a server that runs agents refuses, or says what cannot be understood
    │   ├── AgentServerUnreachable    at this moment: trying again is right
    │   └── AgentServerFailed         to answer this one question; others it may
    ├── TranscriptError           a foreign transcript, or one conversation of it, cannot be read
    ├── QueryError                a question cannot be answered as it was asked
    └── SessionNotFound           no session, or more than one, has that id

None of them reaches an agent: hooks swallow, count and report. They are raised by the query API, the client functions and
the commands, below which nothing catches broadly.
"""

from __future__ import annotations


class TursoHooksError(Exception):
    """The root of all exceptions raised by turso-hooks."""


class SettingsError(TursoHooksError):
    """A setting is missing or has a value that cannot be used; the message names it and what it may be."""


class EventError(TursoHooksError):
    """A payload cannot be read as an event; the message says why. It is kept as a dead letter, not thrown away."""


class JournalError(TursoHooksError):
    """The journal cannot take or give a record."""

    reason = "journal_failed"
    """Under which reason a refused event is counted."""


class JournalFull(JournalError):
    """The journal has reached its size cap: the newest events are refused until some of it is shipped."""

    reason = "journal_full"


class JournalUnwritable(JournalError):
    """The journal's folder or file does not take writes: disk full, read-only, permissions, deleted."""

    reason = "journal_unwritable"


class JournalTorn(JournalError):
    """The disk took a part of a record only: it is not kept, and what is there of it is read as damage."""

    reason = "journal_torn"


class JournalUnsynced(JournalError):
    """A record was taken, but could not be forced to the disk: it survives the process, not a power cut."""

    reason = "not_synced"


class DatabaseError(TursoHooksError):
    """A database operation failed.

    Attributes:
        operation: what was being done, such as `"write a batch"`.
        target: the database, without any secret.
        problem: what went wrong, in the engine's words where it had any.
        remedy: what to do next; empty if nothing is known to help.
        code: the engine's or server's own code for it, such as `"SQLITE_CONSTRAINT"` or `"HTTP 503"`; empty if it gave none.
    """

    def __init__(self, operation: str, target: str, problem: str, remedy: str = "", *, code: str = "") -> None:
        self.operation = operation
        self.target = target
        self.problem = problem
        self.remedy = remedy
        self.code = code
        super().__init__(operation, target, problem, remedy)

    def __str__(self) -> str:
        """One sentence: operation, target, problem; then the remedy."""
        sentence = f"cannot {self.operation} ({self.target}): {self.problem}"
        return f"{sentence}; {self.remedy}" if self.remedy else sentence


class DatabaseUnavailable(DatabaseError):
    """The database cannot be used at the moment (locked, timeout, unreachable); the same operation may work later.

    It may even have worked: of an operation whose answer was lost nobody knows.

    Attributes:
        retry_after_s: how long the server asks to be left alone, in seconds; None if it does not say.
        is_unanswered: no answer came, so that nobody knows whether the request was read, or took effect.
    """

    retry_after_s: float | None = None
    is_unanswered: bool = False


class DatabaseLocked(DatabaseUnavailable):
    """Another program holds the database for a moment; it lets go without telling."""


class DatabaseUnusable(DatabaseError):
    """The database cannot be used until a person changes something; trying again by itself does not help."""


class SchemaTooNew(DatabaseUnusable):
    """The database has a schema newer than this version knows; it is not touched."""


class RowRefused(DatabaseError):
    """The database does not take this row, and never will in this form."""


class RequestTooLarge(DatabaseError):
    """The server, or something in front of it, does not take a request of this size; a smaller one may pass."""


class ResponseTooLarge(DatabaseError):
    """The server does not give an answer of this size; a smaller one it may."""


class PositionMoved(DatabaseError):
    """Someone else has shipped, or changed the schema, since the position was read; the batch changed nothing."""


class AgentServerError(TursoHooksError):
    """A server that runs agents cannot be read.

    Attributes:
        target: the server's address, without any secret.
        problem: what went wrong.
        remedy: what to do next; empty if nothing is known to help.
    """

    def __init__(self, target: str, problem: str, remedy: str = "") -> None:
        self.target = target
        self.problem = problem
        self.remedy = remedy
        super().__init__(target, problem, remedy)

    def __str__(self) -> str:
        """One sentence: target, problem; then the remedy."""
        sentence = f"cannot read {self.target}: {self.problem}"
        return f"{sentence}; {self.remedy}" if self.remedy else sentence


class AgentServerUnreachable(AgentServerError):
    """The server cannot be reached at the moment, or is too busy; it may be later."""


class AgentServerFailed(AgentServerError):
    """The server has failed to answer a question, by a fault of its own; it may answer others."""


class TranscriptError(TursoHooksError):
    """A foreign transcript cannot be read; the message names the line or the conversation."""


class QueryError(TursoHooksError):
    """A question cannot be answered as it was asked: a limit, a cursor, a status that is none; the message says what is."""


class SessionNotFound(TursoHooksError):
    """No session has this id, or a prefix fits several; the message lists what comes near."""


def describe(error: BaseException) -> str:
    """An exception in a line: its class and its text. Never raises, even if the exception's own text does."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # another's code
        return name
    return text if isinstance(error, TursoHooksError) else f"{name}: {text}" if text else name
