"""turso-hooks beside other tools: what each costs its caller, what survives kill -9, and what a sick backend does to it.

    python tests/benchmarks/peers/run.py [--out FOLDER] [--rounds 3] [--only NAME ...] [--venvs FOLDER] [--quick]

Every tool has a virtual environment of its own, made by the first run and used again. All peers take turns, in each round and
for each kind of trial; the trials with a sick backend are done once. Writes peers.json (all figures), peers.md (the tables and
the verdict, which is printed too) and peers.svg. Nothing is asserted about speed. About a quarter of an hour; `--quick` tries
in minutes whether all of it works, with figures that mean nothing. The events that turso-hooks keeps while its server is away
are counted at a real server, if tests/serving has it (README).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.peers.report import markdown
from benchmarks.peers.roster import OURS, PEERS, PLOTTING, Peer
from benchmarks.peers.trial import Sizes, Trial, cut_off, killed, locked, measured, silence
from benchmarks.peers.venvs import NotInstalled, python_with
from serving.servers import free_port

QUICK = Sizes(turns=10, conversations=1, lock_s=2.0, patience_s=8.0)


class Comparison:
    """One run: who takes part, and what was found so far. Who fails to be measured takes no further part."""

    def __init__(self, scratch: Path, sizes: Sizes) -> None:
        self._scratch, self._sizes = scratch, sizes
        self._pythons: dict[str, Path] = {}
        self._about: dict[str, dict[str, Any]] = {}
        self._rounds: list[dict[str, Any]] = []
        self._faults: dict[str, dict[str, Any]] = {}
        self._failed: dict[str, str] = {}

    def _taking_part(self) -> list[Peer]:
        return [peer for peer in PEERS if peer.name in self._pythons]

    def install(self, peers: list[Peer], venvs: Path) -> None:
        for peer in peers:
            _say(f"environment: {peer.name}")
            try:
                self._pythons[peer.name] = python_with(peer.requirements, venvs)
            except NotInstalled as error:
                self._failed[peer.name] = str(error)

    def measure_a_round(self) -> None:
        figures: dict[str, Any] = {name: {"killed": {}} for name in self._pythons}
        self._rounds.append(figures)
        for pace, is_paced in (("flat", False), ("paced", True)):
            for peer in self._taking_part():
                what = f"round {len(self._rounds)}, {pace}: {peer.name}"
                found = self._try(peer, what, partial(measured, is_paced=is_paced))
                figures[peer.name][pace] = found
                if found is None:
                    del self._pythons[peer.name]
                else:
                    self._about[peer.name] = found.pop("about")
            for peer in self._taking_part():
                what = f"round {len(self._rounds)}, {pace}, killed: {peer.name}"
                survived = self._try(peer, what, partial(killed, is_paced=is_paced))
                figures[peer.name]["killed"][pace] = survived
                if survived is None:
                    del self._pythons[peer.name]

    def make_backends_sick(self) -> None:
        for peer in self._taking_part():
            found = self._faults[peer.name] = {}
            if peer.counting:
                found["locked"] = self._try(peer, f"locked: {peer.name}", locked)
            for fault, backend in {"refused": nullcontext, "silent": silence}.items() if peer.is_networked else ():
                port = free_port()
                trial = partial(cut_off, port=port, backend=backend(port))
                found[fault] = self._try(peer, f"{fault}: {peer.name}", trial, f"http://127.0.0.1:{port}")

    def _try(self, peer: Peer, what: str, trial: Callable[[Trial], Any], url: str | None = None) -> Any:
        _say(what)
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="trial-", ignore_cleanup_errors=True) as folder:
            try:
                return trial(Trial(peer, self._pythons[peer.name], Path(folder), self._sizes, url))
            except Exception as error:  # noqa: BLE001  # one trial must not cost the figures of the others
                self._failed[what] = f"{type(error).__name__}: {error}"
        return None

    def found(self) -> dict[str, Any]:
        """All figures, as `report` reads them."""
        return {
            "machine": _machine(),
            "sizes": asdict(self._sizes),
            "peers": {peer.name: self._described(peer) for peer in self._taking_part()},
            "rounds": self._rounds,
            "faults": self._faults,
            "failed": self._failed,
        }

    def _described(self, peer: Peer) -> dict[str, Any]:
        about = self._about[peer.name]
        floor = f"SQLite {about['sqlite']}" if peer.counting else f"Python {about['python']}"
        version = floor if peer.is_floor else about["installed"][peer.distribution]
        return {"version": version, "is_floor": peer.is_floor, **about}


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def options() -> argparse.Namespace:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "turso-hooks-peers"
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=cache / "report", help="where the report goes (%(default)s)")
    parser.add_argument("--venvs", type=Path, default=cache / "venvs", help="where the environments are (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="those whose name contains one of these; turso-hooks always is"
    )
    parser.add_argument("--patience", type=float, metavar="S", help="how long what hangs is waited for (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="one small round, to see that it works")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    sizes = QUICK if chosen.quick else Sizes()
    if chosen.patience:
        sizes = replace(sizes, patience_s=chosen.patience)
    peers = [peer for peer in PEERS if not chosen.only or any(part in peer.name for part in (OURS, *chosen.only))]
    out = chosen.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    comparison = Comparison(out, sizes)
    comparison.install(peers, chosen.venvs.resolve())
    for _ in range(1 if chosen.quick else chosen.rounds):
        comparison.measure_a_round()
    comparison.make_backends_sick()
    found = comparison.found()
    (out / "peers.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    (out / "peers.md").write_text(markdown(found), encoding="utf-8")
    plotter = python_with(PLOTTING, chosen.venvs.resolve())
    plot = Path(__file__).with_name("plot.py")
    subprocess.run([plotter, plot, out / "peers.json", out / "peers.svg"], check=True)
    print(markdown(found))
    _say(f"written to {out}")


if __name__ == "__main__":
    main()
