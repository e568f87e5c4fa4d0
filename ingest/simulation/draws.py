"""Random choices that are the same for the same names, on every version of Python.

Only `Random.random` is promised never to change its sequence, so all choices are made from it.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

Draw = Callable[[], float]
Choice = TypeVar("Choice")


def draw_of(*names: object) -> Draw:
    """Numbers from 0 up to 1 that depend on these names and on nothing else."""
    return Random("|".join(map(str, names))).random  # noqa: S311 - a simulation, not a secret


def below(draw: Draw, bound: int) -> int:
    """A whole number from 0 up to `bound`, without it."""
    return int(draw() * bound)


def one_of(draw: Draw, choices: Sequence[Choice]) -> Choice:
    """One of the choices, each as likely."""
    return choices[below(draw, len(choices))]
