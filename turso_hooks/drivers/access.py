"""Where a server is, and the token that goes there: nowhere else, and not unencrypted."""

from __future__ import annotations

from dataclasses import dataclass, field

from turso_hooks.drivers.faults import Operation
from turso_hooks.drivers.urls import DatabaseTarget, Server
from turso_hooks.errors import DatabaseUnusable, SettingsError


@dataclass(frozen=True)
class Access:
    """The way into a server. The token is in no repr."""

    server: Server
    token: str | None = field(default=None, repr=False)
    allows_unencrypted: bool = False
    """Whether the token may go over an unencrypted connection to another machine."""
    token_in: str = "TURSO_AUTH_TOKEN"  # noqa: S105  # where it is, not what
    """Where the token is set, for those who must mend it."""

    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        headers = {"content-type": "application/json", "user-agent": "turso-hooks"}
        if self.token is not None:
            headers["authorization"] = f"Bearer {self.token}"
        return headers

    def operation(self, name: str, target: str) -> Operation:
        """What is being done, for errors in which the token is not, whatever a server says."""
        return Operation(name, target, self.token, self.token_in)

    def check(self, operation: Operation) -> None:
        """Raise `DatabaseUnusable` if the token must not be sent, or cannot be."""
        if self.token is None:
            return
        if not (self.token.isascii() and self.token.isprintable()) or " " in self.token:
            raise operation.failed(
                DatabaseUnusable,
                "the token has characters that no token has",
                "copy it into {token} once more",
            )
        if not (self.server.is_encrypted or self.server.is_here or self.allows_unencrypted):
            raise operation.failed(
                DatabaseUnusable,
                "the token would be sent unencrypted",
                "write libsql:// or https:// in TURSO_DATABASE_URL, or set TURSO_HOOKS_ALLOW_UNENCRYPTED_TOKEN=1",
            )


def access_to(target: DatabaseTarget, auth_token: str | None, *, allows_unencrypted: bool) -> Access:
    """The way to a target that is a server: with the token of its URL, else with `auth_token`. Raises `SettingsError`."""
    if target.server is None:
        raise SettingsError(f"{target.name} is no server")
    token = (target.auth_token or auth_token or "").strip() or None
    token_in = "the authToken of the URL" if target.auth_token else Access.token_in
    return Access(target.server, token, allows_unencrypted, token_in)
