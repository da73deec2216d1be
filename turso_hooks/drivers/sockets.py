"""Connecting to the first address of a server that takes it, within a deadline (of the monotonic clock)."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from typing import Any, NamedTuple


class Connected(NamedTuple):
    """A connected socket, how it came about and how long that took."""

    link: socket.socket
    address: Any
    """As `socket` has it: host and port first."""
    refusing: tuple[Any, ...]
    """The addresses tried before it."""
    connect_ms: float


def addresses_of(host: str, port: int) -> list[tuple[Any, ...]]:
    """The addresses of a name, as `socket.getaddrinfo` gives them. Nobody can interrupt this. Raises `socket.gaierror`."""
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def connect(addresses: Sequence[tuple[Any, ...]], deadline: float) -> Connected:
    """Try one address after the other, each for its share of the time: one may swallow what is sent to it.

    Raises the last one's `OSError`, which is `TimeoutError` at the deadline.
    """
    refusing: list[Any] = []
    failure = OSError("the name has no address")
    for n, (family, kind, protocol, _, address) in enumerate(addresses):
        began = time.monotonic()
        link = socket.socket(family, kind, protocol)
        try:
            link.settimeout(left_s(deadline) / (len(addresses) - n))
            link.connect(address)
        except OSError as error:
            link.close()
            failure = error
            refusing.append(address)
        except BaseException:
            link.close()
            raise
        else:
            return Connected(link, address, tuple(refusing), (time.monotonic() - began) * 1000)
    raise failure


def left_s(deadline: float) -> float:
    """Seconds until a deadline. Raises `TimeoutError` when it is over."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
