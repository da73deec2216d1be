"""Draws peers.json as an SVG; run by run.py with the interpreter of matplotlib's own environment.

    python plot.py peers.json peers.svg

A peer is a line from p50 to p99 on the caller's thread, on a logarithmic axis; its colour says what survives kill -9.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

COLOURS = {"survives kill -9": "tab:blue", "loses events": "tab:red", "floor, not a tool": "tab:gray"}
PACES = {"flat": "flat out", "paced": "with a pause before each call"}


def main(source: Path, target: Path) -> None:
    run = json.loads(source.read_text(encoding="utf-8"))
    names = sorted(run["peers"], key=lambda name: -figure(run, name, "flat", "p50"))
    mpl.rcParams["svg.hashsalt"] = "peers"  # the same figures give the same file
    drawing, panels = plt.subplots(1, 2, figsize=(12, 1.5 + 0.35 * len(names)), sharey=True, layout="constrained")
    for panel, (pace, title) in zip(panels, PACES.items(), strict=True):
        for name in names:
            ends = [figure(run, name, pace, at) for at in ("p50", "p99")]
            panel.plot(ends, [name, name], color=COLOURS[kind(run, name)], linewidth=2, zorder=1)
            panel.scatter(ends, [name, name], color=COLOURS[kind(run, name)], marker="o", zorder=2)
        panel.set_xscale("log")
        panel.set_title(title)
        panel.set_xlabel("microseconds of the caller's thread, p50 to p99")
        panel.grid(axis="x", alpha=0.3)
    for label in panels[0].get_yticklabels():
        label.set_fontweight("bold" if label.get_text() == "turso-hooks" else "normal")
    lines = [plt.Line2D([], [], color=colour, marker="o", label=meaning) for meaning, colour in COLOURS.items()]
    drawing.legend(handles=lines, loc="outside lower center", ncols=len(lines))
    drawing.savefig(target, metadata={"Date": None})


def figure(run: dict[str, Any], name: str, pace: str, at: str) -> float:
    return statistics.median(each[name][pace][at] for each in run["rounds"])


def kind(run: dict[str, Any], name: str) -> str:
    if run["peers"][name]["is_floor"]:
        return "floor, not a tool"
    survives = all(share == 1 for each in run["rounds"] for share in each[name]["killed"].values())
    return "survives kill -9" if survives else "loses events"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
