"""turso-hooks: agent lifecycle hooks, and a plugin that keeps every conversation in a libSQL/Turso database.

    import turso_hooks

    hook = turso_hooks.get_plugin_manager().hook
    hook.message_added(event=turso_hooks.MessageAdded(session_id="s1", role="user", content="Hello"))

With `TURSO_DATABASE_URL` set, that line is a row of a database a moment later. Names are loaded when they are first used, so
that importing the package costs little.
"""

from __future__ import annotations
