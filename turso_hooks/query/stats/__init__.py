"""Numbers: how much there is of everything, by day, model, tool and so on.

`periods` says which days are meant, `questions` asks for them in SQL, `numbers` makes `results` of the answer, with `prices`
for what nobody said the cost of. What is asked is described in `store.statistics`.
"""

from __future__ import annotations

from turso_hooks.query.stats.numbers import stats
from turso_hooks.query.stats.questions import BY
from turso_hooks.query.stats.results import Durations, Numbers, Stats

__all__ = ["BY", "Durations", "Numbers", "Stats", "stats"]
