"""What is to be had of a transcript without reading it whole: a line's value, what a session cost, whose file it is. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from turso_hooks.transcripts.anthropic import mapping_of, price_of, text_of

_decode_quickly = msgspec.json.Decoder().decode


def value_of(line: bytes) -> Any:
    """A line of JSON as a value. Raises `ValueError` or `RecursionError`."""
    try:
        return _decode_quickly(line)
    except msgspec.DecodeError:
        return json.loads(line)  # takes half an emoji too, which JavaScript writes when it cuts a text


class SubAgent(msgspec.Struct, frozen=True, kw_only=True):
    """Whose transcript it is, if it is a sub-agent's: what its `.meta.json` says."""

    agent_id: str
    agent_type: str | None = None
    tool_call_id: str | None = None
    parent_agent_id: str | None = None
    title: str | None = None


def sub_agent_of(agent_id: str, meta: bytes | None) -> SubAgent:
    """What a `.meta.json` says of a sub-agent; little if it is not there or is none."""
    try:
        said = mapping_of(value_of(meta or b"{}"))
    except (ValueError, RecursionError):
        said = {}
    return SubAgent(
        agent_id=agent_id,
        agent_type=text_of(said.get("agentType")),
        tool_call_id=text_of(said.get("toolUseId")),
        parent_agent_id=text_of(said.get("parentAgentId")),
        title=text_of(said.get("description")),
    )


def last_prices(lines: Iterable[bytes]) -> dict[str, float]:
    """What a token of input costs, for each model, as the last of these lines that tells it has it."""
    prices: dict[str, float] = {}
    for line in lines:
        if b'"cost-state"' in line:
            with suppress(ValueError, RecursionError):
                said = mapping_of(value_of(line))
                prices = prices_of(said) if said.get("type") == "cost-state" else prices
    return prices


def prices_of(said: Mapping[str, Any]) -> dict[str, float]:
    """What a token of input costs, for each model, as a `cost-state` has it."""
    priced = ((model, price_of(usage)) for model, usage in mapping_of(said.get("modelUsage")).items())
    return {model: price for model, price in priced if price is not None}
