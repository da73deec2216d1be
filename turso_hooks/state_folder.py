"""Where a user's state lies if nobody says otherwise: the journal, and what is known of transcripts and servers.

Settings ask here, and so does the hook of Claude Code, which has no time for settings; so this imports nothing that costs time.
The rule is that of the XDG Base Directory Specification, which has relative paths ignored, and on macOS Apple's.
"""

from __future__ import annotations

import os
import sys


def default_state_folder() -> str:
    """An absolute path, whatever the environment holds; nothing is made. Raises `LookupError` for a user without a home."""
    if sys.platform == "darwin":
        return f"{_home()}/Library/Application Support/turso-hooks"
    base = os.environ.get("XDG_STATE_HOME", "")
    return f"{base if base.startswith('/') else f'{_home()}/.local/state'}/turso-hooks"


def _home() -> str:
    home = os.environ.get("HOME", "")
    if home.startswith("/"):
        return home.rstrip("/")
    import pwd  # noqa: PLC0415  # seldom

    return pwd.getpwuid(os.getuid()).pw_dir.rstrip("/")
