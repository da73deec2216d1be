"""What stands between the settings and a row in the database: one step after the other, for `doctor`.

`steps` is what a check comes to and in which order checks run, `configured` reads the settings, `server` and `file` go the way
to a database, `database` are the steps that every database has, `journal` looks at what waits, `secrets` keeps secrets out of
the result. No check changes anything that stays: a write is taken back in its own transaction.
"""

from __future__ import annotations

from turso_hooks.cli.checks.plan import Diagnosis, diagnose
from turso_hooks.cli.checks.steps import Step

__all__ = ["Diagnosis", "Step", "diagnose"]
