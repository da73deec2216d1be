"""Conversations as the request that goes on with them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid5

from turso_hooks.transcripts.openai_chat.ids import NAMESPACE
from turso_hooks.transcripts.turns import Call, Turn, file_text, image_url_of, text_of, tool_name_of

_LONGEST_ID = 40
"""Of a call: the API takes no longer id."""


def request_of(turns: Iterable[Turn]) -> dict[str, Any]:
    """What `client.chat.completions.create` takes to go on with a conversation: `messages`.

    What the format cannot say is left out: reasoning, and files that are no images but for their names.
    """
    messages: list[dict[str, Any]] = []
    for turn in turns:
        content = _written(turn)
        message: dict[str, Any] = {"role": turn.role, "content": content}
        if turn.calls:
            message["tool_calls"] = [_call_of(call) for call in turn.calls]
        if content is not None or turn.calls:
            messages.append(message)
        messages += [{"role": "tool", "tool_call_id": _id_of(call), "content": text_of(call.answer)} for call in turn.calls]
    return {"messages": messages}


def _call_of(call: Call) -> dict[str, Any]:
    arguments = call.input if isinstance(call.input, str) else json.dumps(call.input or {}, ensure_ascii=False, default=str)
    return {"id": _id_of(call), "type": "function", "function": {"name": tool_name_of(call), "arguments": arguments}}


def _id_of(call: Call) -> str:
    """The id of a call, or a shorter one that it becomes each time: the API takes no more than 40 letters, and not none."""
    return call.tool_call_id if 0 < len(call.tool_call_id) <= _LONGEST_ID else f"call_{uuid5(NAMESPACE, call.tool_call_id).hex}"


def _written(turn: Turn) -> Any:
    """The content of a message: one text as it is, more as a list; None if there is nothing that the format can say."""
    written = [each for part in turn.parts if (each := _written_part(part, turn.role)) is not None]
    if len(written) == 1 and written[0]["type"] == "text":
        return written[0]["text"]
    return written or None


def _written_part(part: Mapping[str, Any], role: str) -> dict[str, Any] | None:
    kind, url = part.get("type"), image_url_of(part)
    if kind in {"reasoning", "redacted_thinking"}:
        return None
    if url is not None and role == "user":  # nobody else shows any
        return {"type": "image_url", "image_url": {"url": url}}
    if kind == "file":
        return {"type": "text", "text": file_text(part)}
    return dict(part) if kind == "text" else {"type": "text", "text": text_of(part)}
