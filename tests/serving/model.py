"""A model server with a script: Anthropic's Messages API on loopback, for agents that are real.

What is said to it names a script in brackets, `[weather]`; the script says what the model answers, turn by turn, so that any
number of conversations go on at once. It keeps what it was asked and what it answered. Streaming as in
https://docs.anthropic.com/en/docs/build-with-claude/streaming. (The npm package `@copilotkit/aimock` 1.43 does much of this,
but sends no cached tokens, keeps 64 KiB of a request of which those of Claude Code have 90, and keeps no answers.)
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from typing_extensions import Self

MODEL = "claude-sonnet-4-5"
_SCRIPT = re.compile(r"\[(\w+)\]")


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def thinking(thought: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": thought, "signature": "c2ln"}


def tool(name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "name": name, "input": arguments}


def bash(command: str) -> dict[str, Any]:
    return tool("Bash", command=command, description="as asked")


@dataclass
class Answered:
    """A request, and what was answered: the message with its ids, or the status of a refusal."""

    script: str
    asked: dict[str, Any]
    message_id: str = ""
    blocks: list[dict[str, Any]] = field(default_factory=list)
    usage: dict[str, int] = field(default_factory=dict)
    status: int = 200
    is_whole: bool = False


class ModelServer:
    """Answers from scripts, begun with `with`. `scripts` maps a name to the blocks of each turn."""

    def __init__(self, scripts: dict[str, Sequence[list[dict[str, Any]]]]) -> None:
        self.scripts = scripts
        self.refusals: dict[str, list[int]] = defaultdict(list)
        """Statuses with which the next requests of a script are refused."""
        self.pause_s = 0.0
        """Before each word."""
        self.pieces = 0
        """Of answers, such as words, that were sent so far."""
        self.answered: list[Answered] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._is_ready = threading.Event()
        self._is_over: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._is_over is not None
        self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join(30)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def whole(self, *scripts: str) -> list[Answered]:
        """The answers that were sent to their end."""
        return [answer for answer in self.answered if answer.is_whole and (not scripts or answer.script in scripts)]

    async def _serve(self) -> None:
        self._is_over = asyncio.Event()
        app = web.Application(client_max_size=1 << 28)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/v1/messages/count_tokens", self._count_tokens)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._is_ready.set()
        await self._is_over.wait()
        await runner.cleanup()

    async def _count_tokens(self, _: web.Request) -> web.Response:
        return web.json_response({"input_tokens": 5})

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        # Who has no tools does not act: it is asked for a title, or for a summary.
        name, turn = _place(asked["messages"]) if asked.get("tools") else ("", 0)
        answer = Answered(name, asked)
        self.answered.append(answer)
        n = len(self.answered)
        if self.refusals[name]:
            answer.status = self.refusals[name].pop(0)
            kind = "overloaded_error" if answer.status == 529 else "invalid_request_error"
            error = {"type": "error", "error": {"type": kind, "message": "as the script says"}}
            return web.json_response(error, status=answer.status, headers={"request-id": f"req_{n:04}"})
        turns = self.scripts.get(name, []) if name else [[text("A title")]]
        if turn >= len(turns):
            answer.status = 400
            problem = {"type": "invalid_request_error", "message": f"the script {name!r} has {len(turns)} turns"}
            return web.json_response({"type": "error", "error": problem}, status=400)
        answer.message_id = f"msg_{n:04}"
        answer.blocks = [
            {**block, "id": f"toolu_{n:04}_{index}"} if block["type"] == "tool_use" else block
            for index, block in enumerate(turns[turn])
        ]
        answer.usage = {
            "input_tokens": 10 + n,
            "cache_read_input_tokens": 1000 * turn,
            "cache_creation_input_tokens": 7,
            "output_tokens": 20 + n,
        }
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "request-id": f"req_{n:04}"})
        await response.prepare(request)
        try:
            await self._stream(response, answer, asked["model"])
        except ConnectionResetError:  # whoever asked is gone
            return response
        answer.is_whole = True
        return response

    async def _stream(self, response: web.StreamResponse, answer: Answered, model: str) -> None:
        async def send(kind: str, **said: Any) -> None:
            await response.write(f"event: {kind}\ndata: {json.dumps({'type': kind, **said})}\n\n".encode())

        message = {"id": answer.message_id, "type": "message", "role": "assistant", "model": model, "content": []}
        began = {**answer.usage, "output_tokens": 1}
        await send("message_start", message={**message, "stop_reason": None, "stop_sequence": None, "usage": began})
        for index, block in enumerate(answer.blocks):
            empty, deltas = _deltas(block)
            await send("content_block_start", index=index, content_block=empty)
            for delta in deltas:
                await asyncio.sleep(self.pause_s)
                self.pieces += 1
                await send("content_block_delta", index=index, delta=delta)
            await send("content_block_stop", index=index)
        stop = "tool_use" if any(block["type"] == "tool_use" for block in answer.blocks) else "end_turn"
        usage = {"output_tokens": answer.usage["output_tokens"]}
        await send("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage=usage)
        await send("message_stop")


def _place(messages: list[dict[str, Any]]) -> tuple[str, int]:
    """Which script a conversation follows, by the last that was named in it, and how many answers it has had since."""
    name, at = "", 0
    for position, message in enumerate(messages):
        if message["role"] == "user":
            content = message["content"]
            for block in [text(content)] if isinstance(content, str) else content:
                for found in _SCRIPT.findall(block["text"]) if block["type"] == "text" else ():
                    name, at = found, position
    return name, sum(message["role"] == "assistant" for message in messages[at:])


def _deltas(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How a block begins, and the pieces in which it comes."""
    if block["type"] == "text":
        return text(""), [{"type": "text_delta", "text": word} for word in re.findall(r"\S+\s*", block["text"])]
    if block["type"] == "thinking":
        signature = {"type": "signature_delta", "signature": block["signature"]}
        return thinking(""), [{"type": "thinking_delta", "thinking": block["thinking"]}, signature]
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
