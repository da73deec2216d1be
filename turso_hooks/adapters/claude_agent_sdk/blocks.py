"""Content of the SDK's messages, as the API has it. Pure; by the names of classes and fields, so that no SDK is needed."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

_BLOCKS = {
    "TextBlock": "text",
    "ThinkingBlock": "thinking",
    "ToolUseBlock": "tool_use",
    "ToolResultBlock": "tool_result",
    "ServerToolUseBlock": "server_tool_use",
    "ServerToolResultBlock": "server_tool_result",
}


def blocks(content: Any) -> list[dict[str, Any]]:
    """The content blocks of a message; whatever is in them is shared with it, not copied."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_block(block) for block in content or ()]


def _block(block: Any) -> dict[str, Any]:
    kind = type(block).__name__
    said = vars(block) if is_dataclass(block) and not isinstance(block, type) else {"value": block}
    return {"type": _BLOCKS.get(kind, kind), **said}
