from __future__ import annotations

import random

import pytest

from turso_hooks.store.statistics.buckets import in_bucket, lower_end


def test_every_duration_is_within_6_percent_of_what_stands_for_it() -> None:
    assert [in_bucket(lower_end(ms)) for ms in range(17)] == pytest.approx(range(17), rel=0.06)
    for ms in [random.Random(n).randrange(2 ** (4 + n % 27)) for n in range(2000)]:
        assert in_bucket(lower_end(ms)) == pytest.approx(ms, rel=0.06)
