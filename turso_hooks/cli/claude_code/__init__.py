"""The commands for Claude Code, of several groups: `import`, `watch`, `install`, `hook`; and what `drain` takes from its hooks.

`reading` brings transcripts into a database, `taking` what hooks were told, `settings_file` puts the hooks in.
"""

from __future__ import annotations

from turso_hooks.cli.claude_code.reading import import_claude_code_command, watch_claude_code_command
from turso_hooks.cli.claude_code.settings_file import install_command
from turso_hooks.cli.claude_code.taking import HookTaker, hook_command

__all__ = ["HookTaker", "hook_command", "import_claude_code_command", "install_command", "watch_claude_code_command"]
