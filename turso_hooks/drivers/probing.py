"""The way to a server piece by piece, for diagnosis: name, address, TLS, what software answers, what a token says of itself.

Sends no token and no SQL. Every wait ends within `timeout_s`. Raises what sockets and ssl raise, of which
`faults.failed_request` makes sentences.
"""

from __future__ import annotations

import http.client
import queue
import ssl
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, NamedTuple, TypeVar

import msgspec

from turso_hooks.drivers.sockets import Connected, addresses_of, connect, left_s
from turso_hooks.drivers.urls import Server

_T = TypeVar("_T")

_LONGEST_VERSION = 100
"""Characters of what a server may call itself; a page is longer."""


class Reached(NamedTuple):
    """The address that took a connection."""

    address: str
    connect_ms: float
    refusing: tuple[str, ...]
    """The addresses tried before it."""


class Encryption(NamedTuple):
    """What TLS with a server came to."""

    version: str
    issuer: str
    begins_at: datetime
    ends_at: datetime


class Claims(NamedTuple):
    """What a token says of itself; None where it does not."""

    access: str | None = None
    expires_at: datetime | None = None


def reach(server: Server, timeout_s: float) -> Reached:
    """Resolve the name of a server and connect to its addresses until one takes it."""
    deadline = time.monotonic() + timeout_s
    link, address, refusing, connect_ms = _connected(server, deadline)
    link.close()
    return Reached(_shown(address), connect_ms, tuple(map(_shown, refusing)))


def encryption_of(server: Server, timeout_s: float) -> Encryption:
    """Shake hands as the driver does, with every check of the certificate."""
    deadline = time.monotonic() + timeout_s
    link = _connected(server, deadline).link
    with link:
        link.settimeout(left_s(deadline))
        with ssl.create_default_context().wrap_socket(link, server_hostname=server.host) as encrypted:
            certificate: dict[str, Any] = encrypted.getpeercert() or {}
            begins_at, ends_at = _moment(certificate["notBefore"]), _moment(certificate["notAfter"])
            return Encryption(encrypted.version() or "", _name(certificate["issuer"]), begins_at, ends_at)


def knows_authorities() -> bool:
    """Whether this machine has any certificates of authorities at all; small containers have none."""
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile or paths.capath)


def software_of(server: Server, timeout_s: float) -> str | None:
    """What a server calls itself at `/version`, as libsql-server does; None if it does not, or cannot be asked."""
    try:
        return _within(timeout_s, lambda: _version_said(server, timeout_s))
    except (OSError, http.client.HTTPException):
        return None


def claims_of(token: str) -> Claims:
    """What a JWT says of itself: read, not verified."""
    try:
        middle = token.split(".")[1]
        said = msgspec.json.decode(urlsafe_b64decode(middle + "=" * (-len(middle) % 4)), type=dict[str, Any])
        expires = said.get("exp")
        expires_at = datetime.fromtimestamp(expires, timezone.utc) if isinstance(expires, (int, float)) else None
    except (IndexError, ValueError, msgspec.DecodeError, OverflowError, OSError):  # no JWT; or a time that no calendar has
        return Claims()
    access = said.get("a")
    return Claims(access if isinstance(access, str) else None, expires_at)


def _connected(server: Server, deadline: float) -> Connected:
    return connect(_within(left_s(deadline), lambda: addresses_of(server.host, server.port)), deadline)


def _within(timeout_s: float, work: Callable[[], _T]) -> _T:
    """Do something that cannot be interrupted, such as resolving a name, in a thread that is left to itself afterwards."""
    done: queue.SimpleQueue[_T | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put(work())
        except BaseException as error:  # noqa: BLE001  # it is raised in the thread that waits
            done.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        answer = done.get(timeout=timeout_s)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _version_said(server: Server, timeout_s: float) -> str | None:
    kind = http.client.HTTPSConnection if server.is_encrypted else http.client.HTTPConnection
    connection = kind(server.host, server.port, timeout=timeout_s)
    connection.set_debuglevel(0)
    try:
        connection.request("GET", f"{server.path}/version", headers={"user-agent": "turso-hooks"})
        answer = connection.getresponse()
        text = answer.read(_LONGEST_VERSION + 1).decode(errors="replace").strip()
    finally:
        connection.close()
    is_a_name = text.isprintable() and "<" not in text and len(text) <= _LONGEST_VERSION
    return text or None if answer.status == http.client.OK and is_a_name else None


def _shown(address: Any) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _moment(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), timezone.utc)


def _name(issuer: Any) -> str:
    """An authority's name: `Let's Encrypt, E6`."""
    said = {key: value for part in issuer for key, value in part}
    names = [said[key] for key in ("organizationName", "commonName") if key in said]
    return ", ".join(names) or "an authority without a name"
