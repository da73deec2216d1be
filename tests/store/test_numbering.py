from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from turso_hooks.store import DAMAGED, Gap, Numbering


def numbers_of(numbering: Numbering) -> set[int]:
    return {number for number in range(numbering.next_number) if numbering.has(number)}


def test_a_number_that_is_passed_over_leaves_a_gap_and_closes_it_when_it_comes_late() -> None:
    numbering = Numbering()
    assert [numbering.count(number) for number in (0, 1)] == [None, None]
    assert numbering.count(5, is_after_damage=True) == Gap(2, 4, DAMAGED)
    assert numbering.count(3) is None
    assert numbering.gaps == [Gap(2, 2, DAMAGED), Gap(4, 4, DAMAGED)]
    assert [numbering.count(number) for number in (2, 4)] == [None, None]
    assert (numbering.gaps, numbering.next_number) == ([], 6)


def test_a_number_that_comes_again_changes_nothing() -> None:
    numbering = Numbering(3, [Gap(1, 1)])
    assert numbering.count(2) is None
    assert (numbering.next_number, numbering.gaps) == (3, [Gap(1, 1)])


@given(st.sets(st.integers(0, 60)), st.randoms(use_true_random=False))
def test_whatever_the_order_what_came_and_the_gaps_are_all_numbers(numbers: set[int], pick: random.Random) -> None:
    order = list(numbers)
    pick.shuffle(order)
    numbering = Numbering()
    for number in order:
        numbering.count(number)
    assert numbers_of(numbering) == numbers
    assert numbering.next_number == max(numbers, default=-1) + 1
    assert sum(gap.numbers for gap in numbering.gaps) == numbering.next_number - len(numbers)
