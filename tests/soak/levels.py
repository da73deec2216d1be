"""The levels of a soak: what is looked at each second, when it counts as level, and the report about it."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import NamedTuple

from soak.crew import SEGMENT_BYTES
from turso_hooks.journal import JournalFolder

SLOTS = 12
"""Lines of the table of levels over time."""

WARM_UP_SHARE = 5
"""The first fifth does not count: imports, caches, and the longest outages' full batches have their memory by then."""

WRITERS = 4
"""Processes at a time."""

SLACK = {
    # What an allocator keeps moves by less with the batches that happen to be large. The middles of the two quarters are
    # 17,000 events apart in the short soak and 260,000 in the long one: a leak of 240 bytes an event shows, or of 16.
    "memory_mb": 4.0,
    # A WebSocket with its loop has three, and may have been away in one quarter only; a segment may wait to be deleted.
    "descriptors": 4.0,
    # There is one thread for shipping, and it has one loop at most.
    "threads": 0.0,
    # Of every process's current segment anything between nothing and all may be full; one more may wait to be deleted.
    "kb": WRITERS * SEGMENT_BYTES / 1024,
    "files": WRITERS,
}
"""By how much the lowest of the last quarter may exceed the lowest of the first.

The lowest, because while a server is away, more is held for good reason: the segments that wait, each with its descriptor.
"""

Levels = dict[str, float]


class Sample(NamedTuple):
    """At a time since the beginning, what each process, and each journal, holds."""

    at_s: float
    levels: dict[str, Levels]


def of_process(pid: int) -> Levels:
    """Memory that is resident, open descriptors, threads."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    return {
        "memory_mb": int(status["VmRSS"][0]) / 1024,
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "threads": int(status["Threads"][0]),
    }


def of_journals(state_folder: Path) -> Levels:
    """What all journals hold together."""
    folders = JournalFolder.all_in(state_folder)
    waiting = [size for folder in folders for _, size in folder.waiting()]
    return {"kb": sum(waiting) / 1024, "files": sum(len(folder.files()) for folder in folders)}


class Verdict(NamedTuple):
    """The lowest of a level in the first and in the last quarter after the warm-up, and by how much it may have grown."""

    who: str
    measure: str
    first: float
    last: float
    slack: float

    @property
    def is_level(self) -> bool:
        return self.last <= self.first + self.slack


def judge(samples: list[Sample]) -> list[Verdict]:
    counted = samples[len(samples) // WARM_UP_SHARE :]
    quarter = len(counted) // 4
    first, last = counted[:quarter], counted[-quarter:]
    return [
        Verdict(who, measure, *(min(sample.levels[who][measure] for sample in part) for part in (first, last)), SLACK[measure])
        for who, levels in samples[0].levels.items()
        for measure in levels
    ]


def _median(samples: list[Sample], who: str, measure: str) -> float:
    return statistics.median(sample.levels[who][measure] for sample in samples)


def report(title: str, samples: list[Sample], verdicts: list[Verdict]) -> str:
    """Two tables in Markdown: the levels over time, as medians of equal parts of it, and the verdicts."""
    series = [(verdict.who, verdict.measure) for verdict in verdicts]
    size = max(len(samples) // SLOTS, 1)
    over_time = [
        [f"{part[0].at_s:.0f}", *(f"{_median(part, who, measure):.4g}" for who, measure in series)]
        for part in (samples[begin : begin + size] for begin in range(0, len(samples) - size + 1, size))
    ]
    judged = [
        [
            f"{it.who}, {it.measure}",
            f"{it.first:.4g}",
            f"{it.last:.4g}",
            f"{it.slack:g}",
            "level" if it.is_level else "**not level**",
        ]
        for it in verdicts
    ]
    return "\n\n".join(
        [
            title,
            _table(["from, s", *(f"{who}, {measure}" for who, measure in series)], over_time),
            _table(["what, at its lowest", "first quarter", "last quarter", "may be more by", ""], judged),
        ]
    )


def _table(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *lines])


def write(path: Path, text: str, samples: list[Sample]) -> None:
    """The report to `path`, all samples as JSON beside it."""
    path.write_text(text + "\n", encoding="utf-8")
    path.with_suffix(".json").write_text(json.dumps([sample._asdict() for sample in samples]), encoding="utf-8")
