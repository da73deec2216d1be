"""What happens in one run, drawn from a seed: which agents log how, to what, and what befalls them when. Pure.

The same seed draws the same schedule; how the processes interleave is the machine's own affair, so a failure may need a few
replays.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

STYLES = ("loop", "threads", "asyncio", "trio", "signals", "finalizers", "fork", "pool-fork", "pool-spawn", "plugins")
"""Ways in which an agent logs; see `agent`."""

IN_ONE_PROCESS = ("loop", "threads", "asyncio", "trio", "signals", "finalizers", "plugins")
ENDINGS = ("exit", "exit", "close", "_exit", "linger", "linger", "raise")
"""Ways in which an agent ends; one that lingers is ended from outside."""

PACES = ((20, 0.0), (300, 0.0), (1500, 0.0), (600, 0.0005), (200, 0.003))
"""How many events, and the pause between two of a thread or task."""

OF_AGENTS = ("kill", "kill", "pause", "pause")
OF_SHIPPERS = ("drain", "drain", "two drains", "kill a drain", "kill a drain")
OF_JOURNALS = (
    "flip a byte",
    "cut a file",
    "cut a live file",
    "a newer file",
    "no room",
    "read-only folder",
    "delete the folder",
)
BESIDE_DELETING = {"pause", "drain", "two drains", "kill a drain", "a newer file", "delete the folder"}
OF_FILES = ("lock", "lock", "replace the database", "delete the database")
LONG_LOCKS = 0.02
"""In how many runs on a file it is locked so long."""

OF_SERVERS = ("restart", "restart", "refuse", "black hole", "cut", "truncate", "delay", "late commit", "late commit")

BEHIND_A_FRONT = 0.4
"""How many runs on a server reach it through another, by TLS, which at times answers in its stead."""

ANSWERS = (503, 503, 429, 500, 502, 401, 403, 404, 413)
"""What it then answers."""


@dataclass(frozen=True)
class Agent:
    """A process that logs."""

    name: str
    style: str
    ending: str
    events: int
    pause_s: float
    starts_at_s: float
    clock_back_after_ms: int | None = None
    """When its clock goes back by an hour, if it does."""


@dataclass(frozen=True)
class Incident:
    """Something that befalls the journal, the database, the network or an agent."""

    at_s: float
    what: str
    lasts_s: float
    chance: float
    """A random number for whatever is to be chosen at that moment."""


@dataclass(frozen=True)
class Schedule:
    """One run."""

    seed: int
    target: str
    """`file`, `tursodb` or `sqld`."""
    agents: tuple[Agent, ...]
    incidents: tuple[Incident, ...]
    settings: dict[str, str] = field(default_factory=dict)
    """Variables of all agents and shippers."""
    has_front: bool = False
    """Whether the server is behind another, with TLS."""

    def says(self, what: str) -> bool:
        """Whether that is among the incidents."""
        return any(incident.what == what for incident in self.incidents)


def draw(seed: int) -> Schedule:
    """The schedule of a seed."""
    pick = random.Random(seed)
    target = pick.choices(("file", "tursodb", "sqld"), (6, 3, 1))[0]
    agents = tuple(_agent(pick, f"a{n}") for n in range(pick.choice((1, 2, 2, 3))))
    kinds = [OF_AGENTS, OF_SHIPPERS, OF_JOURNALS, OF_FILES if target == "file" else OF_SERVERS]
    drawn = [pick.choice(pick.choice(kinds)) for _ in range(pick.randint(1, 5))]
    settings = _settings(pick, is_server=target != "file")
    if "delete the folder" in drawn:
        # What is in deleted files is lost with the process that has them open, so each has the time to ship it.
        target, drawn = "file", [what for what in drawn if what in BESIDE_DELETING]
        agents = tuple(replace(agent, ending="close", style=pick.choice(IN_ONE_PROCESS)) for agent in agents)
        settings |= {"TURSO_HOOKS_JOURNAL_MAX_BYTES": str(10**9), "TURSO_HOOKS_BATCH_EVENTS": "1000"}
    if target == "file" and "delete the folder" not in drawn and pick.random() < LONG_LOCKS:
        drawn.append("lock for 30 s")
    has_front = target != "file" and pick.random() < BEHIND_A_FRONT
    if has_front:
        drawn += ["answer"] * pick.randint(1, 2)
    incidents = (Incident(pick.uniform(0.15, 0.9), what, pick.uniform(0.05, 0.5), pick.random()) for what in drawn)
    return Schedule(seed, target, agents, tuple(sorted(incidents, key=lambda it: it.at_s)), settings, has_front)


def _agent(pick: random.Random, name: str) -> Agent:
    events, pause_s = pick.choice(PACES)
    return Agent(
        name,
        style=pick.choice(STYLES),
        ending=pick.choice(ENDINGS),
        events=events,
        pause_s=pause_s,
        starts_at_s=pick.choice((0, 0, pick.uniform(0, 0.5))),
        clock_back_after_ms=pick.choice((None, None, None, 0, 300)),
    )


def _settings(pick: random.Random, *, is_server: bool) -> dict[str, str]:
    drawn = {
        "TURSO_HOOKS_SEGMENT_BYTES": pick.choice((4096, 20_000, 10**6)),
        "TURSO_HOOKS_BATCH_EVENTS": pick.choice((7, 50, 1000)) if is_server else pick.choice((1, 7, 50, 1000)),
        "TURSO_HOOKS_SHIP_INTERVAL_S": pick.choice((0.005, 0.05, 0.2, 30)),
        "TURSO_HOOKS_EXIT_TIMEOUT_S": pick.choice((0, 0.1, 2)),
        "TURSO_HOOKS_REQUEST_TIMEOUT_S": pick.choice((0.3, 2)),
        "TURSO_HOOKS_JOURNAL_MAX_BYTES": pick.choice((10**9, 10**9, 10**9, 40_000)),
        "TURSO_HOOKS_FSYNC": pick.choice((0, 0, 0, 1)),
    }
    return {name: str(value) for name, value in drawn.items()}
