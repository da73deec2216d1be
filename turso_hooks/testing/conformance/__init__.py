"""What an emitter forgets: rules that what is emitted should keep, so that all of it can be found again.

`rules` are those, each looks at one of `sessions`, and `checking` at all of them. Pure, but for running what emits.
"""

from __future__ import annotations

from turso_hooks.testing.conformance.checking import Problem, assert_emits_correctly, problems_of
from turso_hooks.testing.conformance.rules import RULES

__all__ = ["RULES", "Problem", "assert_emits_correctly", "problems_of"]
