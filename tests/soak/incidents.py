"""What happens to the soak's servers and to the networks before them, and when: all of it drawn from one seed."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

from serving.proxy import Proxy
from serving.servers import Server

LONGEST_S = 6.0
"""Of an incident. The first ones last that long, so that a full batch has waited, and taken its memory, before levels count."""

QUIET_S = (0.5, 4.0)
"""Between two incidents, from and to."""

KILLED, ENDED = "kill the agent", "end the agent"


class Place(NamedTuple):
    """A server, and the network through which it is reached."""

    server: Server
    network: Proxy


@contextmanager
def killed(place: Place) -> Iterator[None]:
    place.server.kill()
    yield
    place.server.start()


@contextmanager
def stopped(place: Place) -> Iterator[None]:
    place.server.stop()
    yield
    place.server.start()


@contextmanager
def frozen(place: Place) -> Iterator[None]:
    assert place.server.process is not None
    place.server.process.send_signal(signal.SIGSTOP)
    yield
    os.kill(place.server.process.pid, signal.SIGCONT)


@contextmanager
def unreachable(place: Place) -> Iterator[None]:
    place.network.refuse()
    place.network.cut_all()
    yield
    place.network.listen()


@contextmanager
def silent(place: Place) -> Iterator[None]:
    place.network.black_hole = True
    yield
    place.network.black_hole = False


@contextmanager
def cutting_every_third(place: Place) -> Iterator[None]:
    place.network.cut_every = 3
    yield
    place.network.cut_every = 0


@contextmanager
def cutting_answers_short(place: Place) -> Iterator[None]:
    place.network.truncate_after = 100
    yield
    place.network.truncate_after = None


@contextmanager
def slow(place: Place) -> Iterator[None]:
    place.network.delay_s = 0.3
    yield
    place.network.delay_s = 0.0


INCIDENTS: dict[str, Callable[[Place], AbstractContextManager[None]]] = {
    incident.__name__: incident
    for incident in (killed, stopped, frozen, unreachable, silent, cutting_every_third, cutting_answers_short, slow)
}


class Incident(NamedTuple):
    """At `at_s` since the beginning, `what` happens to a place (by its number) for `lasts_s`; or to the agent, at once."""

    at_s: float
    what: str
    place: int = 0
    lasts_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.at_s:7.1f} s  {self.what}" + (f", place {self.place}, for {self.lasts_s:.1f} s" if self.lasts_s else "")


def schedule(places: int, duration_s: float, seed: int) -> list[Incident]:
    """One incident after the other until `duration_s`; every place is first killed for as long as anything lasts."""
    chance = random.Random(seed)
    longest_s = min(LONGEST_S, duration_s / 20)
    incidents = [Incident(1 + place * (longest_s + 1), "killed", place, longest_s) for place in range(places)]
    at_s = 1 + places * (longest_s + 1)
    while True:
        at_s += chance.uniform(*QUIET_S)
        incident = _drawn(chance, places, at_s, longest_s)
        if at_s + incident.lasts_s > duration_s:
            return incidents
        incidents.append(incident)
        at_s += incident.lasts_s


def _drawn(chance: random.Random, places: int, at_s: float, longest_s: float) -> Incident:
    what = chance.choice([*INCIDENTS, KILLED, ENDED])
    if what not in INCIDENTS:
        return Incident(at_s, what)
    return Incident(at_s, what, chance.randrange(places), chance.uniform(0.3, 1) * longest_s)
