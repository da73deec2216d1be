"""Messages of OpenCode's taken apart: whether they are whole, their parts, tokens, errors. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from turso_hooks.events import FilePart, ReasoningPart, TextPart, ToolCallPart, Usage
from turso_hooks.transcripts.anthropic import mapping_of, text_of
from turso_hooks.transcripts.opencode.stamped import payload_of


def is_whole(info: Mapping[str, Any]) -> bool:
    """Whether nothing will be added to a message of the model's any more."""
    return mapping_of(info.get("time")).get("completed") is not None


def is_whole_part(part: Mapping[str, Any]) -> bool:
    """Whether a part has been said to its end; of a tool call, what it is called with."""
    if text_of(part.get("type")) in {"text", "reasoning"}:
        times = part.get("time")
        return not isinstance(times, dict) or times.get("end") is not None
    return part.get("type") != "tool" or mapping_of(part.get("state")).get("status") != "pending"


def error_of(error: Mapping[str, Any]) -> str:
    """An error in a line."""
    message = text_of(mapping_of(error.get("data")).get("message"))
    name = text_of(error.get("name")) or "error"
    return f"{name}: {message}" if message else name


def says_something(part: Mapping[str, Any]) -> bool:
    """Whether a part is one of the content of its message, rather than of the book-keeping."""
    kind = text_of(part.get("type"))
    if kind == "tool":
        return is_whole_part(part)
    return kind not in {"step-start", "step-finish", "snapshot", "patch", "retry", "compaction"} and part.get("text") != ""


def part_of(part: Mapping[str, Any]) -> Any:
    """A part of a message; one of an unknown kind as it is."""
    kind, text = text_of(part.get("type")), part.get("text")
    if kind == "text" and isinstance(text, str):
        return {"type": "text", "text": text, "synthetic": True} if part.get("synthetic") is True else TextPart(text=text)
    if kind == "reasoning" and isinstance(text, str):
        known = mapping_of(part.get("metadata")).values()
        signature = next(filter(None, (text_of(mapping_of(of_one).get("signature")) for of_one in known)), None)
        return ReasoningPart(text=text, signature=signature)
    if kind == "file":
        name = text_of(part.get("filename"))
        return FilePart(url=text_of(part.get("url")), media_type=text_of(part.get("mime")), name=name)
    if kind == "tool":
        call_id = text_of(part.get("callID")) or text_of(part.get("id")) or ""
        called_with = mapping_of(part.get("state")).get("input")
        return ToolCallPart(tool_call_id=call_id, tool_name=text_of(part.get("tool")) or "", input=called_with)
    return payload_of(part)


def span_of(part: Mapping[str, Any]) -> tuple[Any, Any]:
    """When a part began to be said, and when it was said; None for what is not known."""
    if part.get("type") == "tool":
        start = mapping_of(mapping_of(part.get("state")).get("time")).get("start")
        return start, start
    times = mapping_of(part.get("time"))
    return times.get("start"), times.get("end")


def usage_of(tokens: Mapping[str, Any]) -> Usage | None:
    """Tokens as OpenTelemetry counts them: OpenCode's `input` leaves the cached ones out, and its `output` the reasoning."""
    fresh, output, reasoning = (_count(tokens.get(kind)) for kind in ("input", "output", "reasoning"))
    cache = mapping_of(tokens.get("cache"))
    read, written = _count(cache.get("read")), _count(cache.get("write"))
    if fresh is None or output is None:
        return None
    total = fresh + (read or 0) + (written or 0)
    return Usage(input=total, output=output + (reasoning or 0), cache_read=read, cache_write=written, reasoning=reasoning)


def _count(value: Any) -> int | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return int(value) if is_number and 0 <= value < 1 << 53 else None


def milliseconds(duration: timedelta) -> float:
    """A duration as events have it, which is never negative."""
    return max(duration / timedelta(milliseconds=1), 0.0)
