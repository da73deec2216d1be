"""What a check comes to, and running checks one after the other: what needs a thing that failed is not tried."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from turso_hooks.errors import DatabaseError, DatabaseUnavailable, describe

Outcome = Literal["ok", "warning", "failed", "skipped"]

_SEVERITY: tuple[Outcome, ...] = ("skipped", "ok", "warning", "failed")


@dataclass(frozen=True)
class Step:
    """One step of the way, and how it stands with it."""

    name: str
    outcome: Outcome
    found: str
    """What was found, in a sentence."""
    remedy: str = ""
    """What to do next; empty if nothing has to be done."""
    ms: float | None = None
    """How long it took, unless the step measured something itself."""


class Check(NamedTuple):
    """How a step is found out, and the steps without which that makes no sense."""

    name: str
    run: Callable[[], Step]
    needs: tuple[str, ...] = ()


def run_checks(checks: Sequence[Check], hide: Callable[[str], str]) -> Iterator[Step]:
    """The steps, each as soon as it is done; `hide` takes out of every text what is secret."""
    missing: dict[str, str] = {}
    for check in checks:
        cause = next((missing[name] for name in check.needs if name in missing), None)
        if cause is None:
            step = _run(check)
            if step.outcome == "failed":
                missing[check.name] = check.name
        else:
            missing[check.name] = cause
            step = Step(check.name, "skipped", f"not tried, because of the step {cause}")
        yield replace(step, found=hide(step.found), remedy=hide(step.remedy))


def failed_with(name: str, error: DatabaseError) -> Step:
    """A step that ended with an error of the database."""
    problem = error.problem
    if isinstance(error, DatabaseUnavailable) and error.retry_after_s:
        problem = f"{problem}; it asks to be left alone for {error.retry_after_s:g} s"
    return Step(name, "failed", problem, error.remedy or _remedy_of(error))


def joined(name: str, findings: Sequence[Step]) -> Step:
    """Several findings as one step, which is as bad as the worst of them."""
    outcome = max((finding.outcome for finding in findings), key=_SEVERITY.index)
    found = "; ".join(finding.found for finding in findings if finding.found)
    return Step(name, outcome, found, "; ".join(finding.remedy for finding in findings if finding.remedy))


def _run(check: Check) -> Step:
    began = time.monotonic()
    try:
        step = check.run()
    except DatabaseError as error:
        step = failed_with(check.name, error)
    except OSError as error:
        remedy = f"see to its rights: ls -ld {shlex.quote(str(error.filename))}" if error.filename else "look at the machine"
        step = Step(check.name, "failed", describe(error), remedy)
    except Exception as error:  # noqa: BLE001  # whatever it is, the other steps are the more wanted
        step = Step(check.name, "failed", describe(error), "report it as a bug of turso-hooks")
    has_ms = step.ms is not None or step.outcome == "skipped"
    return step if has_ms else replace(step, ms=(time.monotonic() - began) * 1000)


def _remedy_of(error: DatabaseError) -> str:
    if isinstance(error, DatabaseUnavailable):
        return "try again: turso-hooks doctor; if it stays so, see the server's own log"
    return "see the server's own log"
