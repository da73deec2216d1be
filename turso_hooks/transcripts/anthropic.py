"""What Anthropic's Messages API calls content, usage and cost, as parts, tokens and dollars. Pure.

Format: https://docs.anthropic.com/en/api/messages, and what Claude Code 2.1 writes of it. Everything here takes what it finds:
a value of another type is left out, never an error.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from turso_hooks.events import FilePart, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart, Usage
from turso_hooks.transcripts import turns
from turso_hooks.transcripts.turns import Call, Turn

PROVIDER = "anthropic"

_CALLS = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})

# Prices of all models stand in one proportion to each other: output costs 5 times as much as input, reading the cache 0.1,
# writing it 1.25 for five minutes and 2 for an hour (https://docs.anthropic.com/en/docs/about-claude/pricing).
_OUTPUT, _CACHE_READ, _CACHE_WRITE, _CACHE_WRITE_1H = 5.0, 0.1, 1.25, 2.0
_MOST_TOKENS, _MOST_USD = 1 << 53, 1e12
"""More is no number of tokens, and no cost; and less than these are exact as floats."""

_WEB_SEARCH_USD = 0.01
"""Ten dollars for a thousand searches (same page)."""


def text_of(value: Any) -> str | None:
    """A value that is a text and not empty."""
    return value if isinstance(value, str) and value else None


def mapping_of(value: Any) -> Mapping[str, Any]:
    """A value that is an object; else an empty one."""
    return value if isinstance(value, dict) else {}  # as JSON has it; asking for a `Mapping` takes ten times as long


def blocks_of(content: Any) -> list[Mapping[str, Any]]:
    """The content of a message as blocks: a text is one, and what is neither text nor object is left out."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    listed = content if isinstance(content, list) else []
    return [
        {"type": "text", "text": block} if isinstance(block, str) else block
        for block in listed
        if isinstance(block, (dict, str))
    ]


def is_call(block: Mapping[str, Any]) -> bool:
    """Whether a block asks for a tool, and says which call it is."""
    return text_of(block.get("type")) in _CALLS and text_of(block.get("id")) is not None


def is_result(block: Mapping[str, Any]) -> bool:
    """Whether a block answers a tool call, and says which."""
    return block.get("type") == "tool_result" and text_of(block.get("tool_use_id")) is not None


def part_of(block: Mapping[str, Any]) -> Part | dict[str, Any]:
    """A content block as a part; one of an unknown kind as it is."""
    kind = text_of(block.get("type"))
    text = block.get("text" if kind == "text" else "thinking")
    if kind == "text" and isinstance(text, str):
        return TextPart(text=text)
    if kind == "thinking" and isinstance(text, str):
        return ReasoningPart(text=text, signature=text_of(block.get("signature")))
    if is_call(block):
        return ToolCallPart(tool_call_id=block["id"], tool_name=text_of(block.get("name")) or "", input=block.get("input"))
    if is_result(block):
        output = output_of(block.get("content"))
        return ToolResultPart(tool_call_id=block["tool_use_id"], output=output, is_error=block.get("is_error") is True)
    if kind in {"image", "document"}:
        return _file(block)
    return dict(block)


def _file(block: Mapping[str, Any]) -> Part | dict[str, Any]:
    source = mapping_of(block.get("source"))
    media_type = text_of(source.get("media_type"))
    data = text_of(source.get("data"))
    url = f"data:{media_type};base64,{data}" if data and source.get("type") == "base64" else text_of(source.get("url"))
    return dict(block) if url is None else FilePart(url=url, media_type=media_type, name=text_of(block.get("title")))


def content_of(content: Any) -> Any:
    """The content of a message: its text if that is all there is, else its parts."""
    if content is None or isinstance(content, str):
        return content
    return plain([part_of(block) for block in blocks_of(content)])


def plain(parts: list[Any]) -> Any:
    """The content of a message of these parts: its text if that is all there is, else a list of them."""
    return parts[0].text if len(parts) == 1 and isinstance(parts[0], TextPart) else list(parts)


def output_of(content: Any) -> Any:
    """What a tool answered, as the model saw it: a text, parts, or whatever else it is."""
    return content_of(content) if isinstance(content, list) else content


def error_of(content: Any) -> str:
    """The same as the text of an error."""
    output = output_of(content)
    if isinstance(output, str):
        return output
    texts = [part.text for part in output if isinstance(part, TextPart)] if isinstance(output, list) else []
    return "\n".join(texts) or "failed"


def usage_of(usage: Any) -> Usage | None:
    """Tokens as OpenTelemetry counts them: here `input_tokens` leaves the cached ones out, there they are part of it."""
    said = mapping_of(usage)
    fresh = _count(said.get("input_tokens"))
    read = _count(said.get("cache_read_input_tokens"))
    written = _count(said.get("cache_creation_input_tokens"))
    output = _count(said.get("output_tokens"))
    thinking = _count(mapping_of(said.get("output_tokens_details")).get("thinking_tokens"))
    if fresh is None and output is None:
        return None
    total = None if fresh is None else fresh + (read or 0) + (written or 0)
    return Usage(input=total, output=output, cache_read=read, cache_write=written, reasoning=thinking)


def weight_of(usage: Any) -> float:
    """The tokens of a call in units of the price of one of input."""
    said = mapping_of(usage)
    hour = _count(mapping_of(said.get("cache_creation")).get("ephemeral_1h_input_tokens"))
    counted = [said.get(f"{kind}_tokens") for kind in ("input", "output", "cache_read_input", "cache_creation_input")]
    return _weight(counted, hour)


def price_of(model_usage: Any) -> float | None:
    """What one token of input costs, in dollars: from what a model has cost in all, and for how many tokens.

    `model_usage` is an entry of the `modelUsage` that Claude Code reports. None if it does not say enough.
    """
    said = mapping_of(model_usage)
    cost = said.get("costUSD")
    kinds = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
    weight = _weight([said.get(kind) for kind in kinds], _count(said.get("cacheCreationEphemeral1hInputTokens")))
    if not isinstance(cost, (int, float)) or isinstance(cost, bool) or not 0 <= cost < _MOST_USD or not weight:
        return None
    tokens_usd = cost - _WEB_SEARCH_USD * (_count(said.get("webSearchRequests")) or 0)
    return tokens_usd / weight if tokens_usd >= 0 else None


def _weight(counted: list[Any], written_1h: int | None) -> float:
    fresh, output, read, written = (_count(value) or 0 for value in counted)
    hour = min(written_1h or 0, written)
    return fresh + _OUTPUT * output + _CACHE_READ * read + _CACHE_WRITE * (written - hour) + _CACHE_WRITE_1H * hour


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_TOKENS else None


def request_of(conversation: Iterable[Turn]) -> dict[str, Any]:
    """What `client.messages.create` takes to go on with a conversation: `messages`, and `system` if there is one.

    Thoughts are sent back with the provider's signature only, without which it refuses them. A conversation that does not begin
    with a user gets a first message, and ids of calls only the letters that the format allows.
    """
    system: list[str] = []
    messages: list[dict[str, Any]] = []

    def add(role: str, blocks: list[dict[str, Any]]) -> None:
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        elif blocks:
            messages.append({"role": role, "content": blocks})

    ids: Counter[str] = Counter()
    for turn in conversation:
        blocks = [block for part in turn.parts if (block := _block_of(part, turn.role)) is not None]
        if turn.role == "system":
            system += [block["text"] for block in blocks if block["type"] == "text"]
            continue
        if turn.role == "assistant" and not messages:
            add("user", [{"type": "text", "text": _NOTHING_SAID}])
        named = [(_id_of(call, ids), call) for call in turn.calls]
        add(turn.role, [*blocks, *(_use_of(call_id, call) for call_id, call in named)])
        add("user", [_result_of(call_id, call) for call_id, call in named])
    return {"messages": messages, **({"system": "\n\n".join(system)} if system else {})}


_NOTHING_SAID = "(The conversation begins with the assistant.)"
_NO_LETTER_OF_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")


def _id_of(call: Call, ids: Counter[str]) -> str:
    """The id of a call in the letters that the API allows, with a number if there was such a one before."""
    call_id = _NO_LETTER_OF_AN_ID.sub("_", call.tool_call_id) or "call"
    ids[call_id] += 1
    return call_id if ids[call_id] == 1 else _id_of(replace(call, tool_call_id=f"{call_id}_{ids[call_id]}"), ids)


def _use_of(call_id: str, call: Call) -> dict[str, Any]:
    called_with = call.input if isinstance(call.input, dict) else {} if call.input is None else {"input": call.input}
    return {"type": "tool_use", "id": call_id, "name": turns.tool_name_of(call), "input": called_with}


def _result_of(call_id: str, call: Call) -> dict[str, Any]:
    answer = call.answer
    content: Any = turns.text_of(answer)
    if isinstance(answer, list) and any(isinstance(part, dict) and turns.image_url_of(part) for part in answer):
        content = [block for part in answer if isinstance(part, dict) and (block := _block_of(part, "user")) is not None]
    result = {"type": "tool_result", "tool_use_id": call_id, "content": content}
    return {**result, "content": content or "failed", "is_error": True} if call.is_error else result


def _block_of(part: Mapping[str, Any], role: str) -> dict[str, Any] | None:
    """A part as a content block; None for what cannot be sent: a thought without a signature, a text of blanks."""
    kind, text, url = part.get("type"), part.get("text"), part.get("url")
    if kind == "text":
        return {"type": "text", "text": text} if isinstance(text, str) and text.strip() else None
    if kind == "reasoning":
        signature = part.get("signature")
        return {"type": "thinking", "thinking": text, "signature": signature} if signature and role == "assistant" else None
    if kind == "redacted_thinking":
        return dict(part) if role == "assistant" else None
    image = turns.image_url_of(part)
    if role == "user" and (image is not None or (kind == "file" and isinstance(url, str) and _PDF.match(url))):
        return {"type": "document" if image is None else "image", "source": _source_of(str(url))}
    return {"type": "text", "text": turns.file_text(part) if kind == "file" else turns.text_of(dict(part))}


def _source_of(url: str) -> dict[str, Any]:
    held = _HELD.fullmatch(url)
    if held is None:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": held["media_type"].lower(), "data": held["data"]}


_HELD = re.compile(r"data:(?P<media_type>[^;,]+);base64,(?P<data>.*)", re.DOTALL)
_PDF = re.compile(r"data:application/pdf;base64,", re.IGNORECASE)
