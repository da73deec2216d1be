from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turso_hooks.events import FilePart, ReasoningPart, TextPart, ToolCallPart, ToolResultPart, Usage
from turso_hooks.transcripts.anthropic import (
    blocks_of,
    content_of,
    error_of,
    is_call,
    is_result,
    output_of,
    part_of,
    plain,
    price_of,
    usage_of,
    weight_of,
)

TEXT = {"type": "text", "text": "hello"}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": [TEXT], "is_error": True}

# Parts


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (TEXT, TextPart(text="hello")),
        ({"type": "text", "text": ""}, TextPart(text="")),
        ({"type": "thinking", "thinking": "hm", "signature": "c2ln"}, ReasoningPart(text="hm", signature="c2ln")),
        ({"type": "thinking", "thinking": "hm", "signature": 7}, ReasoningPart(text="hm")),
        (
            {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"a": 1}},
            ToolCallPart(tool_call_id="t1", tool_name="Bash", input={"a": 1}),
        ),
        (
            {"type": "server_tool_use", "id": "t1", "name": "web_search"},
            ToolCallPart(tool_call_id="t1", tool_name="web_search"),
        ),
        ({"type": "mcp_tool_use", "id": "t1"}, ToolCallPart(tool_call_id="t1", tool_name="")),
        (RESULT, ToolResultPart(tool_call_id="t1", output="hello", is_error=True)),
        ({**RESULT, "is_error": "no"}, ToolResultPart(tool_call_id="t1", output="hello")),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
            FilePart(url="data:image/png;base64,aGk=", media_type="image/png"),
        ),
        (
            {"type": "document", "title": "Paper", "source": {"type": "url", "url": "https://x/y.pdf"}},
            FilePart(url="https://x/y.pdf", name="Paper"),
        ),
    ],
)
def test_a_block_is_the_part_of_its_kind(block: dict[str, Any], part: Any) -> None:
    assert part_of(block) == part


@pytest.mark.parametrize(
    "block",
    [
        {},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text"},
        {"type": "text", "text": 7},
        {"type": "text", "thinking": "x"},
        {"type": "thinking", "text": "x"},
        {"type": "tool_use", "name": "no id"},
        {"type": "tool_use", "id": ""},
        {"type": "tool_result", "tool_use_id": ["t1"]},
        {"type": "image", "source": "none"},
        {"type": "image", "source": {"type": "base64"}},
        {"type": ["text"], "text": "x"},
        {"type": {}},
    ],
)
def test_a_block_of_another_kind_or_without_what_it_needs_is_kept_as_it_is(block: dict[str, Any]) -> None:
    assert part_of(block) == block
    assert not is_call(block)
    assert not is_result(block)


def test_a_text_is_one_block_and_what_is_neither_text_nor_object_is_left_out() -> None:
    assert blocks_of("hello") == [TEXT]
    assert blocks_of(["hello", None, 7, [TEXT], TEXT]) == [TEXT, TEXT]
    assert blocks_of(None) == blocks_of(7) == blocks_of(TEXT) == blocks_of([]) == []


def test_content_that_is_one_text_is_that_text_and_else_its_parts() -> None:
    assert content_of("hello") == content_of([TEXT]) == content_of(["hello"]) == "hello"
    assert content_of(None) is None
    assert content_of([TEXT, TEXT]) == [TextPart(text="hello")] * 2
    assert content_of([]) == []
    assert plain([ReasoningPart(text="hm")]) == [ReasoningPart(text="hm")]


# Outputs


@pytest.mark.parametrize(
    ("content", "output", "error"),
    [
        ("done", "done", "done"),
        ([TEXT], "hello", "hello"),
        ([TEXT, TEXT], [TextPart(text="hello")] * 2, "hello\nhello"),
        ([{"type": "image"}], [{"type": "image"}], "failed"),
        ({"stdout": "x"}, {"stdout": "x"}, "failed"),
        (None, None, "failed"),
        ([], [], "failed"),
        (7, 7, "failed"),
    ],
)
def test_what_a_tool_answered_is_kept_whatever_it_is_and_is_a_text_as_an_error(content: Any, output: Any, error: str) -> None:
    assert output_of(content) == output
    assert error_of(content) == error


# Usage

USAGE = {"input_tokens": 10, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 300, "output_tokens": 4}


def test_input_is_what_is_fresh_and_what_is_cached_together() -> None:
    thinking = {**USAGE, "output_tokens_details": {"thinking_tokens": 3}}
    assert usage_of(thinking) == Usage(input=330, output=4, cache_read=300, cache_write=20, reasoning=3)


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({"input_tokens": 1}, Usage(input=1)),
        ({"output_tokens": 0}, Usage(output=0)),
        ({"output_tokens": 1, "cache_read_input_tokens": 5}, Usage(output=1, cache_read=5)),
        ({"input_tokens": 1, "output_tokens": True, "cache_read_input_tokens": -5}, Usage(input=1)),
        ({"input_tokens": "1", "output_tokens": 2.0}, None),
        ({"cache_read_input_tokens": 5}, None),
        ({}, None),
        (None, None),
        ([USAGE], None),
        ("x", None),
    ],
)
def test_tokens_that_are_not_said_are_unknown_and_not_none(said: Any, usage: Usage | None) -> None:
    assert usage_of(said) == usage


# Prices


@pytest.mark.parametrize(
    ("said", "weight"),
    [
        ({"input_tokens": 100}, 100),
        ({"output_tokens": 100}, 500),
        ({"cache_read_input_tokens": 100}, 10),
        ({"cache_creation_input_tokens": 100}, 125),
        ({"cache_creation_input_tokens": 100, "cache_creation": {"ephemeral_1h_input_tokens": 100}}, 200),
        ({"cache_creation_input_tokens": 100, "cache_creation": {"ephemeral_1h_input_tokens": 40}}, 155),
        ({"cache_creation_input_tokens": 100, "cache_creation": {"ephemeral_1h_input_tokens": 900}}, 200),
        ({"cache_creation": {"ephemeral_1h_input_tokens": 900}}, 0),
        (USAGE, 85),
        ({"input_tokens": "x", "cache_creation": 7}, 0),
        (None, 0),
    ],
)
def test_tokens_weigh_what_they_cost_in_proportion_to_those_of_input(said: Any, weight: float) -> None:
    assert weight_of(said) == pytest.approx(weight)


SPENT = {"inputTokens": 10, "cacheCreationInputTokens": 20, "cacheReadInputTokens": 300, "outputTokens": 4}


def test_the_price_of_a_token_is_what_all_have_cost_by_their_weight() -> None:
    assert price_of({**SPENT, "costUSD": 0.85}) == pytest.approx(0.01)
    assert price_of({**SPENT, "costUSD": 0}) == 0
    hour = {**SPENT, "cacheCreationEphemeral1hInputTokens": 20, "costUSD": 1}
    assert price_of(hour) == pytest.approx(1 / 100)


def test_searches_of_the_web_are_not_paid_for_in_tokens() -> None:
    assert price_of({**SPENT, "costUSD": 0.85 + 0.05, "webSearchRequests": 5}) == pytest.approx(0.01)
    assert price_of({**SPENT, "costUSD": 0.02, "webSearchRequests": 5}) is None


@pytest.mark.parametrize(
    "said",
    [None, 7, [], {}, SPENT, {"costUSD": 1}, {**SPENT, "costUSD": "1"}, {**SPENT, "costUSD": True}, {**SPENT, "costUSD": -1}],
)
def test_without_a_cost_or_tokens_there_is_no_price(said: Any) -> None:
    assert price_of(said) is None


tokens = st.integers(0, 10**7)
usages = st.fixed_dictionaries(dict.fromkeys(USAGE, tokens))
NAMES = dict(zip(USAGE, ("inputTokens", "cacheCreationInputTokens", "cacheReadInputTokens", "outputTokens"), strict=True))


@given(st.lists(usages, min_size=1, max_size=5), st.floats(0, 1e6))
@settings(max_examples=100)
def test_the_shares_of_calls_add_up_to_what_all_have_cost(calls: list[dict[str, int]], usd: float) -> None:
    spent = {NAMES[kind]: sum(call[kind] for call in calls) for kind in USAGE}
    price = price_of({**spent, "costUSD": usd})
    if price is None:
        assert not any(spent.values())
    else:
        assert math.isclose(sum(price * weight_of(call) for call in calls), usd, rel_tol=1e-9, abs_tol=1e-300)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(-1e9, 1e9) | st.text(max_size=3) | st.just("\ud800"),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3), inside, max_size=3),
    max_leaves=6,
)
NAMED = ["type", "text", "thinking", "id", "tool_use_id", "content", "source", "usage", *USAGE, *NAMES.values(), "costUSD"]
KINDS = ["text", "thinking", "tool_use", "tool_result", "image", "document"]


@given(st.dictionaries(st.sampled_from(NAMED), anything | st.sampled_from(KINDS)) | anything)
@settings(max_examples=150)
def test_values_of_other_types_are_left_out_and_raise_nothing(value: Any) -> None:
    for function in (blocks_of, content_of, output_of, error_of, usage_of, weight_of, price_of):
        function(value)
        function([value])
    if isinstance(value, dict):
        part_of(value)


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (weight_of, {"output_tokens": 10**400}),
        (price_of, {"costUSD": 1, "outputTokens": 10**400}),
        (price_of, {"costUSD": 10**400, "inputTokens": 1}),
    ],
)
def test_numbers_beyond_all_floats_are_left_out(function: Any, value: dict[str, int]) -> None:
    assert function(value) in {0, None}
