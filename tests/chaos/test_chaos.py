"""Whatever befalls agents, journal, shippers, database and network: every event is there once, or waits, or is counted.

Each run is drawn from a seed, which a failure names: `pytest tests/chaos --chaos-seed SEED` draws it again. By default there
are a few runs of new seeds, with `--chaos long` a thousand, with `--chaos N` so many.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chaos.audit import audit
from chaos.schedule import Schedule, draw
from chaos.world import World, freezes, mounts
from serving.fixtures import skipping
from serving.servers import Certificates, Missing

AT_ONCE = 2
DRAINS_WITHIN_S = 60.0
SHOWN = 12


def test_what_ever_happens_every_event_is_accounted_for(
    chaos_seeds: list[int], tmp_path: Path, certificates: Certificates, say: Callable[[str], None]
) -> None:
    failures: list[int] = []
    left_out: list[Missing] = []
    happened: Counter[str] = Counter()
    began = time.monotonic()
    with skipping(), ThreadPoolExecutor(AT_ONCE) as pool:
        clock = compiled_clock(tmp_path)
        runs = pool.map(lambda seed: run(draw(seed), tmp_path / str(seed), clock, certificates), chaos_seeds)
        for n, (schedule, problems) in enumerate(runs, start=1):
            if isinstance(problems, Missing):
                left_out.append(problems)
                continue
            happened.update(incident.what for incident in schedule.incidents)
            if problems:
                failures.append(schedule.seed)
                say("\n  ".join([f"seed {schedule.seed}: {schedule}", *problems[:SHOWN]]))
            if n % 50 == 0:
                say(f"{n} of {len(chaos_seeds)} runs in {time.monotonic() - began:.0f} s, {len(failures)} that do not add up")
    say(f"{len(chaos_seeds)} runs from seed {chaos_seeds[0]}, {len(failures)} that do not add up; what happened:")
    say(", ".join(f"{number} x {what}" for what, number in sorted(happened.items())))
    assert failures == []
    if left_out:
        pytest.skip(f"{len(left_out)} runs were left out: {left_out[0]}")


def test_a_disk_can_be_full_here_and_a_folder_be_frozen(tmp_path: Path) -> None:
    """Else the runs above leave that out, which they do not say."""
    has_disk = mounts(tmp_path)
    can_freeze = freezes(tmp_path, "+i") and freezes(tmp_path, "-i")
    if has_disk:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
    if not (has_disk and can_freeze):
        pytest.skip("mounting a tmpfs and chattr +i need root, and in a container the right to")


def compiled_clock(folder: Path) -> Path:
    """The library whose clock goes back."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise Missing("there is no C compiler: apt-get install gcc libc6-dev")
    made = folder / "clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", made, Path(__file__).with_name("clock.c")], check=True)
    return made


def run(schedule: Schedule, folder: Path, clock: Path, certificates: Certificates) -> tuple[Schedule, list[str] | Missing]:
    """One run from its beginning to the audit: what does not add up, or which program is not there to try it with."""
    try:
        with World(schedule, folder, clock, certificates) as world:
            world.run()
            drain(world)
            problems = audit(world)
    except Missing as error:
        return schedule, error
    except BaseException:  # noqa: BLE001  # with its seed, among the other failures
        problems = [traceback.format_exc()]
    if not problems:
        shutil.rmtree(folder)
    return schedule, problems


def drain(world: World) -> None:
    """Ship all that is left, with everything in order again."""
    command = [sys.executable, "-m", "turso_hooks.cli.main", "drain"]
    environment = {**world.environment, "TURSO_HOOKS_REQUEST_TIMEOUT_S": "30"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=DRAINS_WITHIN_S)
    assert done.returncode == 0, done.stderr
