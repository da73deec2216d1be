"""What the OpenAI Agents SDK's `SQLiteSession` keeps of a session, as messages of the Chat Completions API. Pure.

It keeps the items of the Responses API (https://platform.openai.com/docs/api-reference/responses), each as JSON in a row, as
version 0.24 has them: messages, thoughts, calls of functions and their outputs, and calls of what the provider runs itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

AGENT_TYPE = "openai-agents"

_TEXTS = frozenset({"input_text", "output_text", "text", "refusal", "summary_text", "reasoning_text"})


def conversation_of(session_id: str, created_at: str | None, items: Iterable[tuple[str, str | None, Any]]) -> dict[str, Any]:
    """A conversation as `openai_chat.Reader` takes it, of items with their ids and times."""
    messages = []
    for item_id, at, item in items:
        message = _message(item) if isinstance(item, Mapping) else {"role": "user", "content": item}
        messages.append({**message, "id": item_id, "created_at": at})
    return {"messages": messages, "metadata": {"id": session_id, "agent_type": AGENT_TYPE, "created_at": created_at}}


def _message(item: Mapping[str, Any]) -> dict[str, Any]:
    kind = item.get("type", "message")
    if kind == "message" and isinstance(item.get("role"), str):
        return {"role": item["role"], "content": _content(item.get("content"))}
    if kind == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        return {"role": "assistant", "content": None, "tool_calls": [{"id": item.get("call_id"), "function": function}]}
    if kind == "function_call_output":
        return {"role": "tool", "tool_call_id": item.get("call_id"), "content": _content(item.get("output"))}
    if kind == "reasoning":
        said = [*_list(item.get("summary")), *_list(item.get("content"))]
        thoughts = "\n\n".join(part["text"] for part in said if isinstance(part, Mapping) and isinstance(part.get("text"), str))
        return {"role": "assistant", "content": None, "reasoning_content": thoughts or None, "item": item}
    return {"role": "assistant", "content": None, "item": item}  # what has no word in that API is kept beside


def _content(content: Any) -> Any:
    """Text, or parts as the Chat Completions API has them."""
    if not isinstance(content, list):
        return content
    parts = [_part(part) for part in content]
    texts = [part["text"] for part in parts if isinstance(part, Mapping) and part.get("type") == "text"]
    return "\n".join(texts) if len(texts) == len(parts) and parts else parts


def _part(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    kind = part.get("type")
    if kind in _TEXTS:
        return {"type": "text", "text": str(part.get("text", part.get("refusal", "")))}
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        return {"type": "image_url", "image_url": {"url": part["image_url"]}}
    return part


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
