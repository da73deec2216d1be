"""A web server before another that passes everything on, but fails to answer for some paths: a fault of theirs on request."""

from __future__ import annotations

import asyncio
import threading

import aiohttp
from aiohttp import web
from typing_extensions import Self


class Failing:
    """Answers 500 to paths with `fault` in them, and passes on all others; as a context."""

    def __init__(self, upstream_url: str, fault: str) -> None:
        self.url = ""
        self.fault = fault
        self.failed = 0
        self._upstream_url = upstream_url
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

    async def _serve(self) -> None:
        self._is_over = asyncio.Event()
        app = web.Application()
        app.router.add_get("/{path:.*}", self._pass_on)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._is_ready.set()
        await self._is_over.wait()
        passing_on = asyncio.all_tasks() - {asyncio.current_task()}  # a stream would never end by itself
        for task in passing_on:
            task.cancel()
        await asyncio.gather(*passing_on, return_exceptions=True)
        await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        if self.fault in request.path:
            self.failed += 1
            return web.Response(status=500)
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(None)) as session,
            session.get(self._upstream_url + request.path_qs) as upstream,
        ):
            kept = {name: value for name, value in upstream.headers.items() if name.lower().startswith(("content-type", "x-"))}
            answer = web.StreamResponse(status=upstream.status, headers=kept)
            await answer.prepare(request)
            async for piece in upstream.content.iter_any():
                await answer.write(piece)
        return answer
