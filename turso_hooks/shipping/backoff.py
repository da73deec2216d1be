"""How long to wait after a failure: full jitter, so that many processes do not come back at once. Pure."""

from __future__ import annotations

_FIRST_S = 0.1
_LONGEST_S = 30.0


def backoff_s(failures: int, chance: float) -> float:
    """Seconds to wait after `failures` failures in a row; `chance` is a random number from 0 to 1.

    Anything between nothing and a bound that doubles from 0.1 s to 30 s (AWS, "Exponential backoff and jitter", 2015).
    """
    bound: float = min(_LONGEST_S, _FIRST_S * 2 ** min(failures - 1, 16))
    return bound * chance
