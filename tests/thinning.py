"""Matrices of cases of which the usual suite runs a share and the long run the others: together they are whole."""

from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet


def one_in(share: int, *axes: Iterable[Any]) -> list[ParameterSet]:
    """All combinations of the axes, for `pytest.mark.parametrize`; those of the long run are marked so.

    The usual ones lie on diagonals, so that each value of one of two axes is among them if the other has at least
    `share` values. Of a single axis the first and each `share`-th after it are usual.
    """
    cases = []
    for case in product(*(list(enumerate(axis)) for axis in axes)):
        usual = sum(place for place, _ in case) % share == 0
        cases.append(pytest.param(*(value for _, value in case), marks=() if usual else pytest.mark.long))
    return cases
