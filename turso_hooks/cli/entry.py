"""The script `turso-hooks`: what a hook runs on a way of its own, which must be quick, everything else as `cli.main` has it."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit."""
    if sys.argv[1:] == ["hook", "claude-code"]:
        from turso_hooks.adapters.claude_code.inbox import hook  # noqa: PLC0415  # and nothing else

        hook()
    from turso_hooks.cli import main as commands  # noqa: PLC0415  # costs more than the rest of a hook

    commands.main()
