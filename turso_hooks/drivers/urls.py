"""Database URLs: which database is meant, by which name it may be shown, and which driver it takes.

    file:agents.db  file:/var/lib/agents.db  file:///var/lib/agents.db      a file; relative ones to the working folder
    libsql://…  turso://…  https://…                                        a server, SQL over HTTP with TLS
    http://…                                                                the same without TLS
    wss://…  ws://…                                                         a server, over a WebSocket, with and without TLS

A file URL is percent-decoded (`%20` is a space, `%3F` a question mark). The URL of a server may have `?authToken=` and `?tls=0`
or `?tls=1`, which mean what they mean to libsql-client; `libsql:`, `turso:` and `https:` are three names of one thing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from turso_hooks.errors import SettingsError

_REMOTE_SCHEMES = frozenset({"libsql", "turso", "https", "http", "ws", "wss"})
_IN_PATHS = "/%:@!$&'()*+,;=~"
"""What may stand in a path as it is (RFC 3986, 3.3); what is percent-encoded already stays so."""

_HOST = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*\.?")
"""The names that a resolver takes (RFC 1035, 2.3.4); underscores are in some."""

_PLACE = re.compile(r"([\w.-]+|\[[\da-fA-F:]+\]):\d{1,5}(?![^/?#])")
"""A host and a port, at the beginning of what has no scheme."""

_TOKEN = re.compile(r"eyJ[\w.=-]+|\W?(?i:authToken)=.*")
"""What a token looks like that was written where none belongs: a JWT begins with `{"` in base64."""

_NO_PORT = re.compile(r"^([^/:\[]*|\[[^/\]]*\]):(?!\d+(/|$))[^/]*")
"""A colon behind a host, and what is no port."""

_EXAMPLE = "write for example file:agents.db"
_EXAMPLE_HOST = "write for example libsql://agents-acme.turso.io"


@dataclass(frozen=True)
class Server:
    """Where a database server is."""

    scheme: str
    """`https`, `http`, `wss` or `ws`."""
    host: str
    port: int
    path: str = ""
    """What comes before the path of its API; empty, or with a slash in front and none behind."""

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{'' if self.port == _port_of(self.scheme) else f':{self.port}'}{self.path}"

    @property
    def is_encrypted(self) -> bool:
        """Whether what is sent there is encrypted on its way."""
        return self.scheme in {"https", "wss"}

    @property
    def is_here(self) -> bool:
        """Whether it is this machine, by a name that can be no other's."""
        if self.host == "localhost":  # not those below it: some systems ask the network for them
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True)
class DatabaseTarget:
    """A database: `name` is its canonical URL without secrets, one for each database.

    `path` is set if it is a file, `server` if it is one; `auth_token` is that of the URL, and not shown.
    """

    name: str
    path: Path | None = None
    server: Server | None = None
    auth_token: str | None = field(default=None, repr=False, compare=False)


def parse_database_url(url: str) -> DatabaseTarget:
    """Read a database URL; a relative file is made absolute now. Raises `SettingsError` with what to write instead."""
    scheme, colon, rest = url.partition(":")
    if scheme.lower() == "file" and colon:
        return _file_target(url, rest)
    if scheme.lower() in _REMOTE_SCHEMES and colon:
        return _remote_target(url, scheme.lower())
    place = _PLACE.match(url)
    if place is not None and "@" not in url and not _TOKEN.search(place[0]):  # before an @, digits may be a password
        raise SettingsError(f"the database URL {place[0]!r} has no scheme: did you mean {_scheme_of(place[1])}://{place[0]}?")
    if not colon or len(scheme) == 1:
        raise SettingsError(f"the database URL {_shown(url)!r} has no scheme: did you mean file:{_shown(url)}?")
    raise SettingsError(f"the database URL {_shown(url)!r} has the unknown scheme {_TOKEN.sub('…', scheme)!r}: {_EXAMPLE}")


def target_of_name(name: str) -> DatabaseTarget:
    """The database that has this `DatabaseTarget.name`; one of which only the name is known, if it cannot be read as a URL."""
    scheme, _, path = name.partition(":")
    if scheme == "file":
        return DatabaseTarget(name, Path(path))
    try:
        return parse_database_url(name)
    except SettingsError:
        return DatabaseTarget(name)


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
    try:
        resolved = (Path(path).expanduser() if path.startswith("~/") else Path(path)).resolve()
    except (OSError, RuntimeError) as error:  # no home, no working folder, links in a circle
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(
            f"the database URL {_shown(url)!r} leads to no file ({reason}): write an absolute one, as file:/var/lib/agents.db"
        ) from None
    return DatabaseTarget(f"file:{resolved}", resolved)


def _remote_target(url: str, scheme: str) -> DatabaseTarget:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        is_port = port != 0
    except ValueError:  # whose words may hold what is secret
        host, port, is_port = None, None, False
    if not is_port:
        raise SettingsError(f"the database URL {_shown(url)!r} cannot be read: write libsql://HOST, or libsql://HOST:PORT")
    if not host:
        raise SettingsError(f"the database URL {_shown(url)!r} names no host: {_EXAMPLE}")
    if "&" in host or "authtoken=" in host or "authToken=" in parts.path:
        raise SettingsError(f"the database URL {_shown(url)!r} cannot be read: its parameters begin with a question mark")
    if parts.username is not None or parts.fragment:
        raise SettingsError(
            f"the database URL {_shown(url)!r} may have no user and no #: the token goes into TURSO_AUTH_TOKEN, or ?authToken="
        )
    if not _can_be_host(host):
        raise SettingsError(f"the database URL {_shown(url)!r} has a host name that cannot be one: {_EXAMPLE_HOST}")
    auth_token, tls = _parameters(url, parts)
    scheme = _transport(url, scheme, tls, has_port=port is not None)
    server = Server(scheme, host, port or _port_of(scheme), quote(parts.path.rstrip("/"), safe=_IN_PATHS))
    # Known by Turso's own name, whichever of the three was written.
    name = server.url.replace("https:", "libsql:", 1) if scheme == "https" else server.url
    return DatabaseTarget(name, server=server, auth_token=auth_token)


def _can_be_host(host: str) -> bool:
    """Whether a host is an address of IPv6, or a name that can be asked for."""
    try:
        if ":" in host:
            ip_address(host)
            return True
        return _HOST.fullmatch(host if host.isascii() else host.encode("idna").decode("ascii")) is not None
    except ValueError:  # as UnicodeError is
        return False


def _scheme_of(host: str) -> str:
    """What is most likely spoken at a host that is written without a scheme, but with a port."""
    return "libsql" if host.endswith(".turso.io") else "http"


def _parameters(url: str, parts: SplitResult) -> tuple[str | None, bool | None]:
    """The token and the word about TLS that a URL has."""
    auth_token, tls = None, None
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name == "authToken":
            auth_token = value or None
        elif name == "tls" and value in {"0", "1"}:
            tls = value == "1"
        elif name == "tls":
            raise SettingsError(f"the database URL {_shown(url)!r} may have tls=0 or tls=1, and nothing else")
        else:
            raise SettingsError(f"the database URL {_shown(url)!r} may have the parameters authToken and tls, and no others")
    return auth_token, tls


def _transport(url: str, scheme: str, tls: bool | None, *, has_port: bool) -> str:
    """What to speak: https, http, wss or ws."""
    if scheme in {"libsql", "turso"}:
        if tls is False and not has_port:  # as libsql-client has it: 443 cannot be meant, and 80 hardly is
            raise SettingsError(f"the database URL {_shown(url)!r} has tls=0 and must name a port then")
        return "http" if tls is False else "https"
    is_encrypted = scheme in {"https", "wss"}
    if tls is not None and tls != is_encrypted:
        raise SettingsError(
            f"the database URL {_shown(url)!r} contradicts its tls={tls:d}: write another scheme, or leave it out"
        )
    return scheme


def _port_of(scheme: str) -> int:
    return 443 if scheme in {"https", "wss"} else 80


def _shown(url: str) -> str:
    """The URL without what may be secret: user, password, query, and what stands where a port should."""
    head = _TOKEN.sub("…", re.split("[?#]", url, maxsplit=1)[0])
    scheme, colon, rest = head.partition(":")
    if scheme.lower() == "file":
        return head
    if "@" in url:  # a password may hold any of the characters that end one
        return f"{scheme}{colon}//…"
    slashes = "//" if rest.startswith("//") else ""
    return f"{scheme}{colon}{slashes}" + _NO_PORT.sub(r"\1:…", rest.removeprefix("//"))
