"""The commands for OpenCode, of two groups: `import` and `watch`.

`importing` brings past sessions into a database, `watching` follows a server, `screen` shows what is going on there.
"""

from __future__ import annotations

from turso_hooks.cli.opencode.importing import import_opencode_command
from turso_hooks.cli.opencode.watching import watch_opencode_command

__all__ = ["import_opencode_command", "watch_opencode_command"]
