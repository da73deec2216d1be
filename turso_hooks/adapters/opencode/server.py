"""What is asked of an OpenCode server, over HTTP: sessions, messages, what is under way, and its stream of events.

The API is described at `/doc` of a server; this is that of version 1.18.33. Works on asyncio and trio. Everything here only
reads, and asks once: whether to ask again is for who called.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

from typing_extensions import Self

from turso_hooks.errors import AgentServerError, AgentServerFailed, AgentServerUnreachable
from turso_hooks.transcripts.anthropic import mapping_of, text_of

try:
    import httpx2
except ImportError as error:  # who logs other agents needs no HTTP client
    raise ImportError("what OpenCode's server is read with is not installed: pip install 'turso-hooks[opencode]'") from error

USERNAME = "opencode"
"""That of a server which was given a password and no name (https://opencode.ai/docs/server)."""

_ADDRESS = "name one such as http://127.0.0.1:4096"
_TIMEOUT_S = 30.0
SILENCE_S = 30.0
"""After so long without a word a stream is dead: the server sends `server.heartbeat` every ten seconds."""

_MOST_EVENT_BYTES = 1 << 28
"""An event holds a part, and a part may be an image."""

_PAGE, _ALL = 100, 1_000_000


class OpenCodeServer:
    """A server at `base_url`; as a context, or its connections stay open.

    Raises `AgentServerError` for what it refuses or what cannot be understood, `AgentServerUnreachable` for what may pass, and
    `AgentServerFailed` for a question to which it has no answer but a fault.
    """

    def __init__(self, base_url: str, *, username: str = USERNAME, password: str | None = None) -> None:
        try:
            address = httpx2.URL(base_url.rstrip("/"))
        except (httpx2.InvalidURL, ValueError) as error:
            raise AgentServerError(base_url, f"that is no address ({error})", _ADDRESS) from error
        if address.scheme not in {"http", "https"} or not address.host:
            raise AgentServerError(base_url, "that is no address of a server", _ADDRESS)
        if address.userinfo:
            username, password = address.username, address.password or password
            address = address.copy_with(userinfo=b"")
        self.base_url = str(address)
        """Without a name and password, if there were any in it."""
        auth = httpx2.BasicAuth(username, password) if password else None
        # No proxy of the environment's: the password would go through it, and most servers are on this machine.
        self._client = httpx2.AsyncClient(base_url=address, auth=auth, timeout=_TIMEOUT_S, trust_env=False)

    async def __aenter__(self) -> Self:
        """Nothing more than itself."""
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def version(self) -> str | None:
        """The version of OpenCode."""
        return text_of(mapping_of(await self._get("/global/health")).get("version"))

    async def sessions(self) -> AsyncIterator[Mapping[str, Any]]:
        """All sessions of all directories, those that changed last first. One that changes meanwhile may be left out."""
        cursor: str | None = None
        while True:
            params = {"limit": str(_PAGE), **({"cursor": cursor} if cursor else {})}
            response = await self._ask("/experimental/session", params)
            if response.status_code == httpx2.codes.NOT_FOUND:  # a version that has no such list: those of its own folder
                response = await self._ask("/session", {"limit": str(_ALL)})
            for info in _listed(self._json(response)):
                yield info
            following = response.headers.get("x-next-cursor")
            if not following or following == cursor:
                return
            cursor = following

    async def session(self, session_id: str) -> Mapping[str, Any]:
        """One session; an empty one if it is not there."""
        return mapping_of(await self._get(f"/session/{session_id}"))

    async def messages(self, session_id: str) -> list[Mapping[str, Any]]:
        """All messages of a session with their parts, in order; none if it is not there."""
        return _listed(await self._get(f"/session/{session_id}/message"))

    async def message(self, session_id: str, message_id: str) -> Mapping[str, Any]:
        """One message with its parts; an empty one if it is not there."""
        return mapping_of(await self._get(f"/session/{session_id}/message/{message_id}"))

    async def statuses(self, directory: str) -> Mapping[str, Any]:
        """What the sessions of a directory are at that are not idle, by their id."""
        return mapping_of(await self._get("/session/status", {"directory": directory}))

    async def questions(self, directory: str) -> list[Mapping[str, Any]]:
        """The permissions that wait for an answer in a directory. Version 1.18.33 fails to say, of some; then none."""
        try:
            return _listed(await self._get("/permission", {"directory": directory}))
        except AgentServerFailed:
            return []

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[Mapping[str, Any]]]:
        """The stream of events of all directories, from now on: each with its `directory` and its `payload`."""
        timeout = httpx2.Timeout(_TIMEOUT_S, read=SILENCE_S)
        try:
            async with self._client.sse("/global/event", timeout=timeout, max_event_size=_MOST_EVENT_BYTES) as source:
                self._check(source.response)
                yield self._events_of(source)
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error

    async def _events_of(self, source: httpx2.EventSource) -> AsyncIterator[Mapping[str, Any]]:
        async for event in source:
            try:
                yield mapping_of(event.json())
            except (ValueError, RecursionError):
                continue  # half of one, as a cut connection leaves it, or one nested so deeply that nobody can read it

    async def _get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        response = await self._ask(path, params)
        return None if response.status_code == httpx2.codes.NOT_FOUND else self._json(response)

    async def _ask(self, path: str, params: Mapping[str, str] | None = None) -> httpx2.Response:
        try:
            response = await self._client.get(path, params=params)
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error
        if response.status_code != httpx2.codes.NOT_FOUND:
            self._check(response)
        return response

    def _check(self, response: httpx2.Response) -> None:
        if response.is_success:
            return
        status, path = response.status_code, response.request.url.path
        if status in {401, 403}:
            problem, remedy = "it wants another user or password", "set OPENCODE_SERVER_PASSWORD as it is set there"
            raise AgentServerError(self.base_url, problem, remedy)
        problem = f"it answers {status} to {path}"
        if status in {429, 502, 503, 504}:
            raise AgentServerUnreachable(self.base_url, problem)
        if status == httpx2.codes.NOT_FOUND:
            raise AgentServerError(self.base_url, problem, "is that an OpenCode server?")
        raise AgentServerFailed(self.base_url, problem)

    def _json(self, response: httpx2.Response) -> Any:
        try:
            return response.json()
        except RecursionError as error:
            problem = f"what it answers to {response.request.url.path} is nested too deeply to be read"
            raise AgentServerFailed(self.base_url, problem) from error
        except ValueError as error:
            problem = f"what it answers to {response.request.url.path} is no JSON"
            raise AgentServerError(self.base_url, problem, "is that an OpenCode server?") from error

    def _unreachable(self, error: httpx2.HTTPError) -> AgentServerUnreachable:
        return AgentServerUnreachable(self.base_url, str(error) or type(error).__name__)


def _listed(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
