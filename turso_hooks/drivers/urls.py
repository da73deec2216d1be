"""Database URLs: which database is meant, by which name it may be shown, and which driver it takes.

    file:agents.db  file:/var/lib/agents.db  file:///var/lib/agents.db      a file; relative ones to the working folder
    libsql://…  turso://…  https://…  http://…  ws://…  wss://…             a server (read, but not written to yet)

A file URL is percent-decoded (`%20` is a space, `%3F` a question mark).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from turso_hooks.errors import SettingsError

_REMOTE_SCHEMES = frozenset({"libsql", "turso", "https", "http", "ws", "wss"})
_EXAMPLE = "write for example file:agents.db"


@dataclass(frozen=True)
class DatabaseTarget:
    """A database: `name` is its canonical URL without secrets, one for each database; `path` is set if it is a file."""

    name: str
    path: Path | None = None


def parse_database_url(url: str) -> DatabaseTarget:
    """Read a database URL; a relative file is made absolute now. Raises `SettingsError` with what to write instead."""
    scheme, colon, rest = url.partition(":")
    if not colon or len(scheme) == 1:
        raise SettingsError(f"the database URL {_shown(url)!r} has no scheme: did you mean file:{_shown(url)}?")
    if scheme.lower() == "file":
        return _file_target(url, rest)
    if scheme.lower() in _REMOTE_SCHEMES:
        return _remote_target(url, scheme.lower())
    raise SettingsError(f"the database URL {_shown(url)!r} has the unknown scheme {scheme!r}: {_EXAMPLE}")


def target_of_name(name: str) -> DatabaseTarget:
    """The database that has this `DatabaseTarget.name`."""
    scheme, _, path = name.partition(":")
    return DatabaseTarget(name, Path(path)) if scheme == "file" else DatabaseTarget(name)


def _file_target(url: str, rest: str) -> DatabaseTarget:
    if "?" in rest or "#" in rest:
        raise SettingsError(f"the database URL {_shown(url)!r} may have no ? or #: in a file's name write them as %3F and %23")
    path = rest
    if rest.startswith("//"):
        host, _, after = rest[2:].partition("/")
        if host not in {"", "localhost"}:
            raise SettingsError(
                f"the database URL {_shown(url)!r} names the host {host!r}: write file:/{host}/{after} or file:{after}"
            )
        path = f"/{after}"
    path = unquote(path, errors="surrogateescape")
    if path in {"", "/"} or path.endswith("/"):
        raise SettingsError(f"the database URL {_shown(url)!r} names no file: write file:agents.db")
    if path == ":memory:" or "\0" in path:
        raise SettingsError(f"the database URL {_shown(url)!r} names no file that lasts: write file:agents.db")
    resolved = Path(path).expanduser().resolve() if path.startswith("~/") else Path(path).resolve()
    return DatabaseTarget(f"file:{resolved}", resolved)


def _remote_target(url: str, scheme: str) -> DatabaseTarget:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SettingsError(f"the database URL {_shown(url)!r} cannot be read: {error}") from None
    if not host:
        raise SettingsError(f"the database URL {_shown(url)!r} names no host: {_EXAMPLE}")
    shown_port = f":{port}" if port else ""
    return DatabaseTarget(f"{scheme}://{host}{shown_port}{parts.path.rstrip('/')}")


def _shown(url: str) -> str:
    """The URL without what may be secret: user, password, query."""
    head, _, _ = url.partition("?")
    scheme, colon, rest = head.partition(":")
    if scheme.lower() == "file":
        return head
    slashes = "//" if rest.startswith("//") else ""
    return f"{scheme}{colon}{slashes}{rest.removeprefix('//').rpartition('@')[2]}"
