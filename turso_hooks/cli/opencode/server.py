"""The server that a command is told to read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from turso_hooks.errors import SettingsError

if TYPE_CHECKING:
    from turso_hooks.adapters.opencode import OpenCodeServer


def server_at(url: str) -> OpenCodeServer:
    """A server with the name and password that its own settings give it, if they are set here too.

    Raises `AgentServerError` if that is no address, and `SettingsError` if what it takes is not installed.
    """
    try:
        from turso_hooks.adapters.opencode import USERNAME, OpenCodeServer  # noqa: PLC0415  # needs an extra
    except ImportError as error:
        raise SettingsError(str(error)) from error
    username = os.environ.get("OPENCODE_SERVER_USERNAME") or USERNAME
    return OpenCodeServer(url, username=username, password=os.environ.get("OPENCODE_SERVER_PASSWORD"))
