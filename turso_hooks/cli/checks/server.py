"""The steps on the way to a server: address, TLS, token, protocol."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TypeVar

from turso_hooks.cli.checks.steps import Check, Step, failed_with, joined
from turso_hooks.cli.text import when
from turso_hooks.drivers import Database, DatabaseTarget
from turso_hooks.drivers.access import Access, access_to
from turso_hooks.drivers.faults import Operation, failed_request
from turso_hooks.drivers.probing import claims_of, encryption_of, knows_authorities, reach, software_of
from turso_hooks.drivers.urls import Server
from turso_hooks.errors import DatabaseError, DatabaseUnavailable, DatabaseUnusable
from turso_hooks.settings import Settings

_T = TypeVar("_T")

_DAY_S = 86_400.0
_LAST_PART = 0.1
"""Renewing a certificate is begun with a third of its time left: what gets so far is not renewed by itself."""

_NEW_TOKEN = "turso db tokens create NAME"  # noqa: S105  # how to make one

_OVER_HTTP = {"http", "https"}
_TIMES_ASKED = 10
_PAUSE_S = 0.1

_STOPS_IN_COMMITS = "sqld 0.24."
"""Of these, 0.24.32 was seen to: docs/how-to/libsql-server.md. With checkpoints by the clock there are none after commits."""

_REFUSED_BY_STATUS = ("the server answered 401", "the server answered 403")
_REFUSED_IN_WORDS = ("jwt", "unauthorized", "authentication failed", "authorization forbidden")
"""Of libsql-server, which has no status over a WebSocket."""


def server_checks(target: DatabaseTarget, server: Server, settings: Settings, database: Database) -> list[Check]:
    """The checks of the way to a server, up to its answering."""
    patience_s = settings.request_timeout_s
    access = access_to(target, settings.auth_token, allows_unencrypted=settings.allow_unencrypted_token)
    answer = Answer(database, server, patience_s)
    return [
        Check("address", lambda: address_step(target.name, server, patience_s)),
        Check("tls", lambda: tls_step(target.name, server, patience_s), ("address",)),
        Check("token", lambda: token_step(access, target, answer), ("tls",)),
        Check("protocol", lambda: protocol_step(server, answer, database, patience_s), ("token",)),
    ]


class Answer:
    """What the first request came to, which two steps look at.

    Over a WebSocket, a request that is broken off is made again, a few times, the last not later than one may take: a server
    that takes no token closes the connection, now and then before its reason is read, and on a busy machine several times.
    """

    def __init__(self, database: Database, server: Server, timeout_s: float) -> None:
        self._database = database
        self._times = 1 if server.scheme in _OVER_HTTP else _TIMES_ASKED
        self._timeout_s = timeout_s
        self._error: DatabaseError | None = None

    def error(self) -> DatabaseError | None:
        """Why the server did not carry it out; None if it did."""
        ends_at = time.monotonic() + self._timeout_s
        while self._times:
            self._error = self._asked()
            is_broken_off = isinstance(self._error, DatabaseUnavailable) and time.monotonic() < ends_at
            self._times = self._times - 1 if is_broken_off else 0
            if self._times:
                time.sleep(_PAUSE_S)  # what makes both ends miss each other is mostly that the machine is busy
        return self._error

    def _asked(self) -> DatabaseError | None:
        try:
            self._database.look("SELECT 1", operation="ask for anything")
        except DatabaseError as error:
            return error
        return None


def address_step(name: str, server: Server, timeout_s: float) -> Step:
    """Whether the name resolves, and something listens."""
    reached = _reaching(name, timeout_s, lambda: reach(server, timeout_s))
    before = f", after {' and '.join(reached.refusing)} did not" if reached.refusing else ""
    return Step("address", "ok", f"{reached.address} takes connections, in {reached.connect_ms:.1f} ms{before}")


def tls_step(name: str, server: Server, timeout_s: float, now: datetime | None = None) -> Step:
    """Whether what is sent is encrypted, and with whom."""
    if not server.is_encrypted:
        return _unencrypted(server)
    try:
        found = _reaching(name, timeout_s, lambda: encryption_of(server, timeout_s))
    except DatabaseUnusable as error:
        if "certificate" in error.problem and not knows_authorities():
            error.remedy = "install the package ca-certificates: this machine knows no authorities at all"
        return failed_with("tls", error)
    left = found.ends_at - (now or datetime.now(timezone.utc))
    said = f"{found.version}, certificate by {found.issuer}, good for {left.total_seconds() / _DAY_S:.0f} more days"
    if left < (found.ends_at - found.begins_at) * _LAST_PART:
        return Step("tls", "warning", said, "renew the server's certificate before it ends")
    return Step("tls", "ok", said)


def _unencrypted(server: Server) -> Step:
    said = f"not encrypted ({server.scheme}://)"
    if server.is_here:
        return Step("tls", "ok", f"{said}, within this machine")
    scheme = "https" if server.scheme == "http" else "wss"
    return Step(
        "tls", "warning", f"{said}: whoever is on the way can read the conversations",
        f"if the server can TLS, write {scheme}:// in TURSO_DATABASE_URL",
    )  # fmt: skip


def token_step(access: Access, target: DatabaseTarget, answer: Answer) -> Step:
    """Whether a token is there, may be sent, and is taken."""
    access.check(Operation("send the token", target.name))
    error = answer.error()
    if error is not None and is_about_token(error):
        expired = _claimed(access.token) if access.token else ["none is set"]
        return Step("token", "failed", "; ".join([*expired, error.problem]), _remedy(target))
    findings = [Step("token", "ok", "; ".join(_claimed(access.token)) or "none is set")]
    if error is not None:
        findings = [Step("token", "skipped", f"{findings[0].found}; no answer by which to judge it")]
    elif access.token is None:
        findings = [Step("token", "ok", "none is set, and none is asked for")]
    else:
        findings.append(Step("token", "ok", "it was sent, and not refused"))
    return joined("token", [*findings, *_doubts(access, target)])


def is_about_token(error: DatabaseError) -> bool:
    """Whether a server refuses because of who asks."""
    said = error.problem.lower()
    return said.startswith(_REFUSED_BY_STATUS) or any(words in said for words in _REFUSED_IN_WORDS)


def _claimed(token: str | None) -> list[str]:
    """What a token says of itself, for people."""
    if token is None:
        return []
    access, expires_at = claims_of(token)
    said = {"ro": ["it is for reading only"], "rw": ["it is for reading and writing"]}.get(access or "", [])
    if expires_at is not None:
        is_over = expires_at <= datetime.now(timezone.utc)
        said.append(f"{'expired on' if is_over else 'it expires on'} {when(expires_at)}")
    return said or ["one is set"]


def _doubts(access: Access, target: DatabaseTarget) -> list[Step]:
    if access.token is None:
        return []
    claims = claims_of(access.token)
    doubts = []
    if claims.access == "ro":
        doubts.append(Step("token", "warning", "", _remedy(target)))
    elif claims.expires_at is not None and (claims.expires_at - datetime.now(timezone.utc)).total_seconds() < _DAY_S:
        doubts.append(Step("token", "warning", "", f"make one that lasts longer: {_NEW_TOKEN}"))
    if not (access.server.is_encrypted or access.server.is_here):
        doubts.append(Step("token", "warning", "it is sent unencrypted, as TURSO_HOOKS_ALLOW_UNENCRYPTED_TOKEN says"))
    return doubts


def _remedy(target: DatabaseTarget) -> str:
    where = "the authToken of the URL" if target.auth_token else "TURSO_AUTH_TOKEN"
    return f"set {where} to a token that may write to this database: {_NEW_TOKEN}"


def allowed(target: DatabaseTarget, token: str | None, step: Callable[[], Step]) -> Step:
    """A step that writes; where the token is for reading only, it says so."""
    try:
        return step()
    except DatabaseError as error:
        if not is_about_token(error) and claims_of(token or "").access != "ro":  # over a WebSocket, it is just closed
            raise
        return Step("write", "failed", f"the token does not allow writing: {error.problem}", _remedy(target))


def protocol_step(server: Server, answer: Answer, database: Database, timeout_s: float) -> Step:
    """Whether a database answers, which software that is, and whether it is set up to be written to by several."""
    error = answer.error()
    if error is not None:
        return failed_with("protocol", error)
    way = "SQL over HTTP" if server.scheme in _OVER_HTTP else "SQL over a WebSocket"
    software = software_of(server, timeout_s)
    who = f"it calls itself {software}" if software else "it does not say what it is, as Turso's own server does not"
    found = Step("protocol", "ok", f"{way} is answered; {who}")
    if software and software.startswith(_STOPS_IN_COMMITS) and _looks_after_its_log_in_commits(database):
        doubt = "it may stop for good where three or more write at once"
        remedy = "if it is yours, start it again, with --checkpoint-interval-s 10"
        return joined("protocol", [found, Step("protocol", "warning", doubt, remedy)])
    return found


def _looks_after_its_log_in_commits(database: Database) -> bool:
    try:
        rows = database.look("PRAGMA wal_autocheckpoint", operation="ask when it looks after its log")
    except DatabaseError:  # it does not say
        return False
    return rows.rows != [(0,)]


def _reaching(name: str, timeout_s: float, work: Callable[[], _T]) -> _T:
    try:
        return work()
    except (OSError, UnicodeError) as error:  # the latter is a name that can be none
        raise failed_request(Operation("reach the server", name), error, timeout_s) from error
