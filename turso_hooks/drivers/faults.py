"""What goes wrong between here and a server, and what it means: the one place where failures of a network become ours. Pure.

An answer's status, a server's refusal of a step, an exception of a socket, of TLS or of aiohttp become a `DatabaseError` that
says what was being done, to what, and what to do next. No address but the target's own, no header and no token is in it.

Importing this costs nothing worth naming: the agent's thread does it. What is dear is imported where something has gone wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from turso_hooks import forking
from turso_hooks.drivers.bulk import ValueNotSendable
from turso_hooks.drivers.hrana import AnswerUnreadable, Refusal
from turso_hooks.drivers.meanings import meaning_of
from turso_hooks.errors import (
    DatabaseError,
    DatabaseUnavailable,
    DatabaseUnusable,
    RequestTooLarge,
    ResponseTooLarge,
    RowRefused,
)

_Error = TypeVar("_Error", bound=DatabaseError)

_LONGEST_S = 600.0
"""The longest a server is left alone because it asked for that; who asks for a day may be wrong, or restarted by then."""

_SHOWN_CHARS = 200
_HIDDEN = b"[token]"
_SHORTEST_SECRET = 8
"""A shorter one guards nothing, and to hide it would hide parts of other words, by which faults are told apart."""

_TOKEN_REMEDY = "set {token} to a token of this database (turso db tokens create NAME)"  # noqa: S105  # how, not what
_ADDRESS_REMEDY = "check the address in TURSO_DATABASE_URL"
_WEBSOCKET_REMEDY = (
    "if that stays so, the token may not be taken: check {token}; asked by http:// or https:// instead of ws:// or wss://, "
    "the server says why"
)

_STATUSES: dict[int, tuple[type[DatabaseError], str]] = {
    HTTPStatus.UNAUTHORIZED: (DatabaseUnusable, f"the token is missing or not taken: {_TOKEN_REMEDY}"),
    HTTPStatus.FORBIDDEN: (DatabaseUnusable, f"the token does not allow this: {_TOKEN_REMEDY}"),
    HTTPStatus.NOT_FOUND: (DatabaseUnusable, f"no database answers there: {_ADDRESS_REMEDY}"),
    HTTPStatus.METHOD_NOT_ALLOWED: (DatabaseUnusable, f"no database answers there: {_ADDRESS_REMEDY}"),
    HTTPStatus.GONE: (DatabaseUnusable, f"no database answers there: {_ADDRESS_REMEDY}"),
    HTTPStatus.REQUEST_TIMEOUT: (DatabaseUnavailable, ""),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (RequestTooLarge, "let the server, or the proxy before it, take larger requests"),
    HTTPStatus.TOO_EARLY: (DatabaseUnavailable, ""),
    HTTPStatus.TOO_MANY_REQUESTS: (DatabaseUnavailable, ""),
}
"""What answers other than 5xx and redirects mean (RFC 9110); whatever is not here needs a person."""


@dataclass(frozen=True)
class Operation:
    """What is being done to what, for the sentence of an error; `secret` is in none, even if a server says it back."""

    name: str
    target: str
    secret: str | None = field(default=None, repr=False)
    token_in: str = "TURSO_AUTH_TOKEN"  # noqa: S105  # where it is, not what
    """Where the token is set."""

    def without_secret(self, body: bytes) -> bytes:
        """What a server said, before anything of it is shortened or quoted."""
        return body.replace(self.secret.encode(), _HIDDEN) if self.secret and self._is_guarded(self.secret) else body

    @staticmethod
    def _is_guarded(secret: str) -> bool:
        return len(secret) >= _SHORTEST_SECRET

    def failed(self, kind: type[_Error], problem: str, remedy: str = "", *, code: str = "") -> _Error:
        """The error of an operation that failed."""
        if self.secret and self._is_guarded(self.secret):
            problem = problem.replace(self.secret, _HIDDEN.decode())
        return kind(self.name, self.target, problem, remedy.replace("{token}", self.token_in), code=code)


@contextmanager
def messages_understood(operation: Operation) -> Iterator[None]:
    """Raise the error that it means, where writing a request or reading an answer fails."""
    try:
        yield
    except ValueNotSendable as error:
        raise operation.failed(RowRefused, str(error)) from error
    except Refusal as refusal:
        raise refused_step(operation, refusal) from None  # here and below: it holds what the server said, maybe the token
    except AnswerUnreadable as error:
        problem = f"the answer is not that of a database: {error}"  # a proxy's page, a portal, or half an answer
        raise operation.failed(DatabaseUnavailable, problem, _ADDRESS_REMEDY) from None


def refused_step(operation: Operation, refusal: Refusal) -> DatabaseError:
    """What a server's refusal of a statement means."""
    kind, remedy = meaning_of(refusal.problem, refusal.code) or (DatabaseUnusable, "")
    return operation.failed(kind, refusal.problem, _for_server(remedy), code=refusal.code)


def _for_server(remedy: str) -> str:
    return "see the server's own log and disk" if "{folder}" in remedy else remedy


def refused_request(operation: Operation, status: int, headers: Mapping[str, str], body: bytes) -> DatabaseError:
    """What an answer other than 200 means; names of `headers` are in lower case."""
    said, code = _words_of(body)
    problem = f"the server answered {_named(status)}" + (f": {said}" if said else "")
    kind, remedy = _meaning_of_status(status, headers)
    if status == HTTPStatus.BAD_REQUEST and b"HTTPS port" in body:  # nginx's words
        remedy = "write libsql:// or https:// (or wss://) in TURSO_DATABASE_URL"
    if code == "BLOCKED":
        kind, remedy = DatabaseUnavailable, "see the database's plan and quota, at its provider"
    error = operation.failed(kind, problem, remedy, code=code or f"HTTP {status}")
    if isinstance(error, DatabaseUnavailable):
        error.retry_after_s = retry_after_s(headers.get("retry-after"), datetime.now(timezone.utc))
    return error


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _meaning_of_status(status: int, headers: Mapping[str, str]) -> tuple[type[DatabaseError], str]:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return DatabaseUnavailable, ""
    if status == HTTPStatus.OK:  # where a WebSocket should have begun
        return DatabaseUnavailable, f"no database answers there: {_ADDRESS_REMEDY}"
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        host = _host_of(headers.get("location"))
        return DatabaseUnusable, f"it redirects{host}, where no token is sent: write the final address in TURSO_DATABASE_URL"
    return _STATUSES.get(status, (DatabaseUnusable, ""))


def _host_of(location: str | None) -> str:
    try:
        host = urlsplit(location or "").hostname
    except ValueError:
        host = None
    return f" to {host}" if host else ""


def _words_of(body: bytes) -> tuple[str, str]:
    """What the body of a refusal says in words, and its code: JSON of a server of ours, or plain text of anybody's."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body.decode(errors="replace")
        return ("" if "<" in text else _short(text)), ""
    if not isinstance(said, dict):
        return "", ""
    inner: Any = said.get("error")
    said = inner if isinstance(inner, dict) else said
    words = said.get("message") or said.get("error") or ""
    return _short(str(words)), str(said.get("code") or "")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARS else f"{line[:_SHOWN_CHARS]}…"


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds until a server wants to be asked again, 600 at most; `Retry-After` gives them, or a date (RFC 9110, 10.2.3)."""
    with forking.importing():
        import email.utils  # noqa: PLC0415  # see above

    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(header)
        except (TypeError, ValueError):
            return None
        seconds = (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp() - now.timestamp()
    return min(max(seconds, 0.0), _LONGEST_S) if math.isfinite(seconds) else None


def no_transactions(operation: Operation) -> DatabaseError:
    """The error for an interactive transaction on a server that has none."""
    problem = "this server has no interactive transactions"
    return operation.failed(DatabaseUnusable, problem, "use batch(), which is one transaction")


def transaction_over(error: DatabaseError) -> DatabaseError:
    """What a refusal in the middle of an interactive transaction means: the server has ended it, for being slow or idle."""
    remedy = "do it again, in less time: a server ends one after 5 s, or 10 s without a word"
    return DatabaseUnavailable(
        error.operation, error.target, f"the transaction is over: {error.problem}", remedy, code=error.code
    )


def strange_address(operation: Operation) -> DatabaseError:
    """The error for a server that says to go on where the token must not go."""
    problem = "it wants the rest sent elsewhere, or unencrypted, where no token is sent"
    return operation.failed(DatabaseUnusable, problem)


def failed_request(operation: Operation, error: BaseException, timeout_s: float) -> DatabaseError:
    """What an exception means that came instead of an answer."""
    if getattr(error, "code", None) == _MESSAGE_TOO_BIG:
        return operation.failed(
            ResponseTooLarge, "the answer is larger than a WebSocket message may be", "ask for less at once"
        )
    kind, problem, remedy = _meaning_of_failure(_cause_of(error), timeout_s)
    failed = operation.failed(kind, problem, remedy)
    if isinstance(failed, DatabaseUnavailable):
        failed.is_unanswered = True
    return failed


def _cause_of(error: BaseException) -> BaseException:
    """Aiohttp wraps the socket's exception in one of its own."""
    for name in ("os_error", "certificate_error"):
        inner = getattr(error, name, None)
        if isinstance(inner, BaseException):
            return inner
    return error


_MESSAGE_TOO_BIG = 1009
"""A WebSocket's close code (RFC 6455, 7.4.1). To aiohttp a message is too big from 4 MiB on."""


def _meaning_of_failure(error: BaseException, timeout_s: float) -> tuple[type[DatabaseError], str, str]:
    with forking.importing():
        import socket  # noqa: PLC0415  # see above
        import ssl  # noqa: PLC0415

    if isinstance(error, TimeoutError):
        return DatabaseUnavailable, f"no answer within {timeout_s:g} s", ""
    if isinstance(error, (socket.gaierror, UnicodeError)):  # the latter is a name that can be none
        reason = error.strerror if isinstance(error, OSError) else error
        return DatabaseUnavailable, f"its name cannot be resolved ({reason})", f"{_ADDRESS_REMEDY}, and the network"
    if isinstance(error, ssl.SSLError):
        return _meaning_of_tls(error)
    if isinstance(error, ConnectionRefusedError):
        return DatabaseUnavailable, "nothing listens there (connection refused)", f"{_ADDRESS_REMEDY}, and that the server runs"
    if isinstance(error, OSError) and not isinstance(error, ConnectionError) and error.strerror:
        return DatabaseUnavailable, f"it cannot be reached ({error.strerror})", "check the network"
    return DatabaseUnavailable, f"the connection broke off ({type(error).__name__})", ""


def _meaning_of_tls(error: Any) -> tuple[type[DatabaseError], str, str]:
    verify_message = getattr(error, "verify_message", None)
    if verify_message:
        remedy = "if it is your own server, name its authority's certificate in SSL_CERT_FILE"
        if "mismatch" in verify_message:
            remedy = "write the name that it is for in TURSO_DATABASE_URL"
        if "expired" in verify_message or "not yet valid" in verify_message:
            remedy = "renew it, or set this machine's clock"
        return DatabaseUnusable, f"its certificate is not to be trusted ({verify_message})", remedy
    if error.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:  # one thing, in two versions of OpenSSL
        return DatabaseUnusable, "it does not speak TLS", "if it shall not, write http:// (or ws://) in TURSO_DATABASE_URL"
    return DatabaseUnavailable, f"TLS failed ({error.reason or 'broken off'})", ""


_OF_ARGUMENTS = (ValueNotSendable, OverflowError, TypeError, ValueError)
"""What libsql-client raises for an argument that it does not take; some of aiohttp's errors are ValueErrors of another kind."""


def foreign_failure(operation: Operation, error: Exception, timeout_s: float) -> DatabaseError:
    """What an exception of libsql-client means: `LibsqlError` has a code and an explanation, the others are aiohttp's."""
    if type(error) in _OF_ARGUMENTS:
        return operation.failed(RowRefused, str(error))
    status = getattr(error, "status", None)
    if isinstance(status, int):  # the handshake of a WebSocket was refused
        return refused_request(operation, status, {}, b"")
    code, words = getattr(error, "code", None), getattr(error, "explanation", None)
    if isinstance(code, str) and isinstance(words, str):
        if code in {"HRANA_WEBSOCKET_ERROR", "HRANA_PROTO_ERROR"}:
            return operation.failed(DatabaseUnavailable, words, _WEBSOCKET_REMEDY, code=code)
        if code.startswith("AUTH"):
            return operation.failed(DatabaseUnusable, words, _TOKEN_REMEDY, code=code)
        return refused_step(operation, Refusal(words, code))
    failed = failed_request(operation, error, timeout_s)
    if isinstance(_cause_of(error), ConnectionError) and not failed.remedy:
        failed.remedy = operation.failed(type(failed), "", _WEBSOCKET_REMEDY).remedy
    return failed
