from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from turso_hooks.store.rows import to_json


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("a\0\u2028", '"a\\u0000\u2028"'),
        ({"x": float("-inf")}, '{"x":{"$type":"float","value":"-inf"}}'),
        ([b"\xff"], '[{"$type":"bytes","base64":"/w=="}]'),
        ([datetime(2026, 1, 2, tzinfo=timezone.utc), date(2026, 1, 2)], '["2026-01-02T00:00:00Z","2026-01-02"]'),
        ([Decimal("1.10"), time(1, 2), timedelta(seconds=1)], '["1.10","01:02:00","PT1S"]'),
        ({(1, 2): 3}, '{"$type":"map","items":[[[1,2],3]]}'),
    ],
)
def test_json_columns_hold_json_whatever_the_value_is(value: Any, text: str | None) -> None:
    assert to_json(value) == text
