"""Log what happens on an OpenCode server while this program does something else.

pip install 'turso-hooks[opencode]'
opencode serve --port 4096 &
TURSO_DATABASE_URL=file:agents.db python opencode_watch.py http://127.0.0.1:4096
"""

import sys

import anyio

import turso_hooks
from turso_hooks.adapters.opencode import watch


async def main(url: str) -> None:
    """Watch the server at `url` until Return is pressed."""
    async with watch(url) as watcher:
        await watcher.caught_up.wait()
        print("what was there is logged", flush=True)
        await anyio.to_thread.run_sync(input)  # whatever else there is to do


if __name__ == "__main__":
    arguments = dict(zip(("url", "backend"), sys.argv[1:], strict=False))
    anyio.run(main, arguments.get("url", "http://127.0.0.1:4096"), backend=arguments.get("backend", "asyncio"))
    shipped = turso_hooks.close(10)
    print(f"{shipped.waiting} events wait" if shipped.waiting else "all of it is in the database")
