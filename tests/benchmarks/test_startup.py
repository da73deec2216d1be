"""What importing the package and starting the command cost, beside a bare interpreter."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.benchmark(group="startup")

STARTS = 5
COMMAND = str(Path(sys.executable).parent / "turso-hooks")
CONTENDERS = {
    "bare interpreter": [sys.executable, "-c", "pass"],
    "import": [sys.executable, "-c", "import turso_hooks"],
    "manager": [sys.executable, "-c", "import turso_hooks; turso_hooks.get_plugin_manager()"],
    "--version": [COMMAND, "--version"],
}


def started_ms(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - begin) * 1000


def test_startup(measure: Any) -> None:
    def one_round() -> dict[str, dict[str, float]]:
        times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
        for _ in range(STARTS):
            for name, command in CONTENDERS.items():
                times[name].append(started_ms(command))
        taken = {name: statistics.median(each) for name, each in times.items()}
        return {name: {"whole": ms, "over": ms - taken["bare interpreter"]} for name, ms in taken.items()}

    found = measure(one_round)
    found.compare("`import turso_hooks`, the whole process", "import", "bare interpreter", "whole", "ms")
    found.show("the same, over a bare interpreter", "import", "over", "ms", most=100)
    found.show("with `get_plugin_manager()`, over a bare interpreter", "manager", "over", "ms")
    found.compare("`turso-hooks --version`", "--version", "bare interpreter", "whole", "ms")
    found.show("the same, the whole process", "--version", "whole", "ms", most=200)
