"""`watch` is a context like any other: what its body raises, and that it is cancelled, is none of its business."""

from __future__ import annotations

import anyio
import pytest

from serving.servers import free_port
from turso_hooks.adapters.opencode import watch
from turso_hooks.errors import AgentServerError

pytestmark = pytest.mark.anyio


@pytest.fixture
def url() -> str:
    """Nobody is there."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.mark.parametrize("raised", [ValueError("as it is"), SystemExit(3), KeyboardInterrupt()], ids=repr)
async def test_what_the_body_raises_goes_through_as_it_is(url: str, raised: BaseException) -> None:
    with pytest.raises(type(raised)) as caught:
        async with watch(url):
            raise raised
    assert caught.value is raised


async def test_a_timeout_around_it_ends_it(url: str) -> None:
    with anyio.move_on_after(0.2) as scope:
        async with watch(url) as watcher:
            await watcher.caught_up.wait()
    assert scope.cancelled_caught


async def test_an_address_that_is_none_is_said_before_the_body_begins() -> None:
    with pytest.raises(AgentServerError, match="that is no address of a server"):
        async with watch("nonsense"):
            pytest.fail("it has begun")
