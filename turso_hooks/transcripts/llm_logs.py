"""What the program llm keeps in its logs.db, as messages of the Chat Completions API and model calls. Pure.

From version 0.36 on threads of messages with parts, and turns, which are calls of models; before, conversations of responses,
each with its prompt. See https://llm.datasette.io/en/stable/logging.html.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from turso_hooks.events import ModelCallFinished, Usage, derived_event_id

AGENT_TYPE = "llm"

_SOURCE_RANK = 3

Row = Mapping[str, Any]


def conversation_of_thread(thread: Row, messages: Iterable[tuple[Row, list[Row]]], turns: Iterable[Row]) -> dict[str, Any]:
    """A thread as `openai_chat.Reader` takes it: its messages in order with their parts, and its turns."""
    turns = list(turns)
    asked = {turn["parent_message_hash"]: turn["datetime_utc"] for turn in turns}
    answered = {turn["tip_message_hash"]: _text_of(_end_of(turn)) for turn in turns}
    found: list[dict[str, Any]] = []
    for message, parts in messages:
        at = answered.get(message["hash"]) or asked.get(message["hash"])
        found += _messages(message, parts, at)
    model = turns[0]["model"] if turns else None
    times = [thread["datetime_utc"], *(turn["datetime_utc"] for turn in turns)]
    return {"messages": found, "metadata": _metadata(thread, model, times)}


def _messages(message: Row, parts: list[Row], at: str | None) -> list[dict[str, Any]]:
    """A message, or one for each output of a tool in it."""
    role, said, made = message["role"], [], {"id": message["hash"], "created_at": at}
    calls, results, thoughts = [], [], []
    for part in parts:
        payload = _json(part["payload"])
        if part["type"] == "text":
            said.append(part["text"] or "")
        elif part["type"] == "reasoning":
            thoughts.append(part["text"] or "")
        elif part["type"] == "tool_call":
            name = payload.get("name", part["tool_name"])
            calls.append(_call(payload.get("tool_call_id"), name, payload.get("arguments")))
        elif part["type"] == "tool_result":
            results.append(
                {
                    "role": "tool",
                    "content": payload.get("output"),
                    "tool_call_id": payload.get("tool_call_id"),
                    "name": payload.get("name", part["tool_name"]),
                }
            )
        else:
            said.append(json.dumps(payload or {"type": part["type"]}, ensure_ascii=False))
    if results:
        return [
            {**result, **made, "id": f"{message['hash']}.{n}" if n else message["hash"]} for n, result in enumerate(results)
        ]
    more: dict[str, Any] = {"tool_calls": calls} if calls else {}
    if thoughts:
        more["reasoning_content"] = "\n\n".join(thoughts)
    return [{"role": role, "content": "\n".join(said) if said else None, **more, **made}]


Response = tuple[Row, Sequence[Row], Sequence[Row]]
"""With the calls of tools in it, and the outputs that the model was given before."""


def conversation_of_responses(conversation: Row, responses: Iterable[Response]) -> dict[str, Any]:
    """A conversation of before 0.36, of its responses in order."""
    found: list[dict[str, Any]] = []
    times, system, model = [], None, None
    for response, calls, results in responses:
        if response["system"] and response["system"] != system:
            system = response["system"]
            found.append({"id": f"{response['id']}.system", "role": "system", "content": system})
        found += _asked(response, results)
        made = [_call(call["tool_call_id"], call["name"], call["arguments"]) for call in calls]
        answer = {"id": response["id"], "role": "assistant", "content": response["response"] or None}
        found.append({**answer, **({"tool_calls": made} if made else {}), "created_at": _text_of(_end_of(response))})
        times.append(response["datetime_utc"])
        model = model or response["model"]
    return {"messages": found, "metadata": _metadata(conversation, model, times)}


def _asked(response: Row, results: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """What a model was given before its response."""
    at = response["datetime_utc"]
    for n, result in enumerate(results):
        answer = {"role": "tool", "content": result["output"], "tool_call_id": result["tool_call_id"], "name": result["name"]}
        yield {**answer, "id": f"{response['id']}.result.{n}", "created_at": at}
    if response["prompt"]:
        yield {"id": f"{response['id']}.prompt", "role": "user", "content": response["prompt"], "created_at": at}


def _call(call_id: Any, name: Any, arguments: Any) -> dict[str, Any]:
    return {"id": call_id, "function": {"name": name, "arguments": arguments}}


def model_calls_of(session_id: str, calls: Iterable[Row]) -> list[ModelCallFinished]:
    """What models were asked: turns, or responses."""
    events = []
    for call in calls:
        started_at, ended_at = _time(call["datetime_utc"]), _end_of(call)
        if started_at is None or ended_at is None:
            continue
        details = _json(call.get("token_details"))
        usage = Usage(
            input=call.get("input_tokens"),
            output=call.get("output_tokens"),
            cache_read=_cached(details),
            reasoning=_reasoned(details),
        )
        events.append(
            ModelCallFinished(
                session_id=session_id,
                event_id=derived_event_id(ended_at, session_id, "model_call", call["id"]),
                occurred_at=ended_at,
                source_rank=_SOURCE_RANK,
                model_call_id=call["id"],
                model=call.get("resolved_model") or call["model"],
                usage=usage,
                duration_ms=call["duration_ms"],
                started_at=started_at,
            )
        )
    return events


def _metadata(conversation: Row, model: str | None, times: Iterable[Any]) -> dict[str, Any]:
    began_at = _text_of(min(filter(None, map(_time, times)), default=None))
    known = {"id": conversation["id"], "title": conversation["name"], "model": model, "agent_type": AGENT_TYPE}
    return {**known, "created_at": began_at}


def _cached(details: dict[str, Any]) -> int | None:
    """Providers say it each in their way: as OpenAI and Anthropic do."""
    of_prompt = details.get("prompt_tokens_details")
    found = of_prompt.get("cached_tokens") if isinstance(of_prompt, dict) else details.get("cache_read_input_tokens")
    return found if isinstance(found, int) else None


def _reasoned(details: dict[str, Any]) -> int | None:
    of_output = details.get("completion_tokens_details")
    found = of_output.get("reasoning_tokens") if isinstance(of_output, dict) else None
    return found if isinstance(found, int) else None


def _json(text: Any) -> dict[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, (str, bytes)) else None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _end_of(call: Row) -> datetime | None:
    started_at = _time(call["datetime_utc"])
    return None if started_at is None else started_at + timedelta(milliseconds=call["duration_ms"] or 0)


def _time(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (AttributeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _text_of(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
