"""The seam: what a database client must be able to do, as libsql-client's `Client` does it."""

from __future__ import annotations

from typing import Any, Protocol


class Client(Protocol):
    """An async client of one database; any `libsql_client.Client` is one.

    Statements are what libsql-client takes: SQL text, a pair of SQL and arguments, or its `Statement`.
    """

    async def execute(self, stmt: Any, args: Any = None) -> Any:
        """Run one statement and return its result set."""

    async def batch(self, stmts: list[Any]) -> list[Any]:
        """Run statements in one transaction: all of them take effect, or none."""

    def transaction(self) -> Any:
        """Begin an interactive transaction."""

    async def close(self) -> None:
        """Let go of everything; the client is not to be used again."""

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
