"""An agent on the Claude Agent SDK, logged: the import is all that differs from one that is not.

    TURSO_DATABASE_URL=file:agents.db python examples/claude_agent.py "Which files are in this folder?"
    turso-hooks sessions --db file:agents.db

Needs `pip install 'turso-hooks[claude-agent-sdk]'`, and an account or `ANTHROPIC_API_KEY`.
"""

from __future__ import annotations

import sys

import anyio
from claude_agent_sdk import AssistantMessage, ClaudeAgentOptions, TextBlock

from turso_hooks.adapters.claude_agent_sdk import query


async def main(prompt: str) -> None:
    """Ask, and print what the agent says."""
    options = ClaudeAgentOptions(allowed_tools=["Read", "Glob", "Grep"])
    async for message in query(prompt=prompt, options=options):
        if isinstance(message, AssistantMessage):
            print(*(block.text for block in message.content if isinstance(block, TextBlock)), sep="\n")


if __name__ == "__main__":
    anyio.run(main, " ".join(sys.argv[1:]) or "Which files are in this folder?")
