"""What the figures say: medians, ratios within a round, the verdict, and all of it as Markdown. Pure: figures in, text out.

The figures of a run are what `peers.json` holds: `machine`, `sizes`, `peers` (name to version, is_floor, and all that is
installed with it), `rounds` (one dict a round, name to what `trial.measured` found flat out and paced, and the shares that
`trial.killed` found), `faults` (name to fault to outcome) and `failed` (trial or peer to reason).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.roster import OURS

Run = dict[str, Any]

FORGETFUL_LIMIT = 2.0
"""By how many times a tool that loses events may be faster."""

ENOUGH_TURNS = 100
"""In fewer, the first call is the 99th percentile."""

PACES = {"flat": "flat out", "paced": "paced"}
SPEEDS = [(pace, figure) for pace in PACES for figure in ("p50", "p99")]


def distribution(took_ns: list[int]) -> dict[str, float]:
    """Percentiles of some calls, in microseconds."""
    ordered = sorted(took_ns)
    at = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {name: ordered[math.ceil(len(ordered) * share) - 1] / 1000 for name, share in at.items()}


def median(run: Run, name: str, pace: str, figure: str) -> float:
    return statistics.median(each[name][pace][figure] for each in run["rounds"])


def times_ours(run: Run, name: str, pace: str, figure: str) -> float:
    """How many times as long as turso-hooks it takes: the median of the rounds' ratios."""
    return statistics.median(each[name][pace][figure] / each[OURS][pace][figure] for each in run["rounds"])


def survival(run: Run, name: str) -> float:
    """The share of events that survived kill -9 in the worst of all trials."""
    return min(share for each in run["rounds"] for share in each[name]["killed"].values())


@dataclass(frozen=True)
class Judgement:
    """A claim, whether the figures bear it out (None: nothing to compare with), and by how much."""

    claim: str
    is_kept: bool | None
    because: str

    def __str__(self) -> str:
        word = {True: "kept", False: "**not kept**", None: "nothing to compare"}[self.is_kept]
        return f"{self.claim}: {word}; {self.because}"


def verdict(run: Run) -> list[Judgement]:
    """Whether turso-hooks is the fastest of the tools that lose nothing, and near the fastest of those that do."""
    if OURS not in run["peers"]:
        return [Judgement("turso-hooks beside other tools", None, "it was not measured")]
    ours = survival(run, OURS)
    survives = Judgement("turso-hooks survives kill -9 whole", ours == 1, f"{_percent(ours)} in the worst trial")
    others = [name for name, peer in run["peers"].items() if not peer["is_floor"] and name != OURS]
    whole = [name for name in others if survival(run, name) == 1]
    forgetful = [name for name in others if name not in whole]
    judgements = [survives]
    for pace, figure in SPEEDS:
        what = f"{PACES[pace]}, {figure}"
        judgements.append(_against(run, whole, pace, figure, f"fastest of the tools that survive kill -9 whole, {what}", 1.0))
    for pace, figure in SPEEDS:
        what = f"{PACES[pace]}, {figure}"
        claim = f"no tool that loses events to kill -9 is faster by more than {FORGETFUL_LIMIT:g} times, {what}"
        judgements.append(_against(run, forgetful, pace, figure, claim, FORGETFUL_LIMIT))
    return judgements


def _against(run: Run, rivals: list[str], pace: str, figure: str, claim: str, limit: float) -> Judgement:
    if not rivals:
        return Judgement(claim, None, "no such tool was measured")
    ratio, rival = min((times_ours(run, name, pace, figure), name) for name in rivals)
    said = f"takes {_number(ratio)} times as long" if ratio >= 1 else f"is {_number(1 / ratio)} times faster"
    return Judgement(claim, ratio >= 1 / limit, f"the nearest, {rival}, {said}")


def markdown(run: Run) -> str:
    parts = [
        "# turso-hooks beside other tools",
        _how(run),
        "## Verdict",
        "\n".join(f"- {each}" for each in verdict(run)),
        "## Speed and survival",
        _table(SPEED_HEAD, (_speed_line(run, name) for name in run["peers"])),
        "## Times what turso-hooks takes, within a round",
        _table(["tool", *(f"{PACES[p]}, {f}" for p, f in SPEEDS)], _ratio_lines(run)),
        "## When the backend is not well",
        _how_sick(run["sizes"]),
        _table(["tool", *FAULTS.values()], _fault_lines(run)),
    ]
    if run["failed"]:
        parts += ["## Not measured", "\n".join(f"- {name}: {reason}" for name, reason in run["failed"].items())]
    return "\n\n".join(parts) + "\n"


FAULTS = {"locked": "database locked", "refused": "backend refuses", "silent": "backend never answers"}
SPEED_HEAD = [
    "tool",
    "version",
    "flat out: p50 / p99 / max, us",
    "paced: p50 / p99 / max, us",
    "events/s until durable",
    "kept of these",
    "survives kill -9: flat out / paced",
]


def _speed_line(run: Run, name: str) -> list[str]:
    peer = run["peers"][name]
    costs = [" / ".join(_number(median(run, name, pace, figure)) for figure in ("p50", "p99", "max")) for pace in PACES]
    rate, kept = median(run, name, "flat", "events_per_s"), min(each[name]["flat"]["kept"] for each in run["rounds"])
    survived = [_percent(min(each[name]["killed"][pace] for each in run["rounds"])) for pace in PACES]
    shown = f"{name} (floor)" if peer["is_floor"] else name
    return [shown, peer["version"], *costs, _number(rate), _percent(kept), " / ".join(survived)]


def _ratio_lines(run: Run) -> Iterable[list[str]]:
    if OURS not in run["peers"]:
        return
    for name in run["peers"]:
        yield [name, *(_number(times_ours(run, name, *speed)) for speed in SPEEDS)]


def _how(run: Run) -> str:
    sizes = run["sizes"]
    warning = "" if sizes["turns"] >= ENOUGH_TURNS else "**Too few calls for the figures to mean anything.** "
    return (
        f"{warning}{run['machine']}. Medians of interleaved rounds: {len(run['rounds'])}. A conversation has "
        f"{3 * sizes['turns'] + 2} events; paced: {sizes['pause_s'] * 1000:g} ms before each call. Times are those of the "
        "caller's thread, the first call included. What is kept and what survives: in the worst round. Floors are not tools."
    )


def _how_sick(sizes: dict[str, Any]) -> str:
    return (
        f"Another process holds the database for {sizes['lock_s']:g} s; or a backend over a network refuses connections, or "
        f"takes them and never answers. What hangs is ended after {sizes['patience_s']:g} s. Kept: what is in the database "
        "once it is well again, and after the tool's command for what dead processes left (`turso-hooks drain`)."
    )


def _fault_lines(run: Run) -> Iterable[list[str]]:
    for name, outcomes in run["faults"].items():
        yield [name, *(_outcome(outcomes.get(fault)) for fault in FAULTS)]


def _outcome(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-"
    kept = "kept: not counted" if found["kept"] is None else f"kept: {_percent(found['kept'])}"
    if found["hangs"] == "calls":
        return f"calls hang over {found['after_s']:.0f} s; {kept}"
    raised = f", {found['raised']} of {found['calls']} raise ({', '.join(found['errors'])})" if found["raised"] else ""
    exits = f"over {found['exit_s']:.0f} s" if found["hangs"] else f"{found['exit_s']:.1f} s"
    return f"longest call {_number(found['longest_ms'])} ms{raised}; exit {exits}; {kept}"


def _table(head: list[str], lines: Iterable[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _percent(share: float) -> str:
    """Never rounded up to whole, nor down to nothing."""
    if share in {0, 1}:
        return f"{share * 100:.0f} %"
    return f"{min(max(share * 100, 0.1), 99.9):.1f} %".replace(".0 %", " %")
