"""One row of the torture table: what is done to the box, the goal, and the figure that came of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How a row is run.

    Attributes
    ----------
    folder : an empty one of its own.
    is_long : the full number of repetitions, as ``make torture`` runs them, or the few of ``make test``.
    """

    folder: Path
    seed: int
    is_long: bool

    def count(self, short: int, full: int) -> int:
        """How often to repeat: the figure of the goal, or the few that a test run has time for."""
        return full if self.is_long else short

    def random(self) -> random.Random:
        """Random numbers that the printed seed gives again."""
        return random.Random(self.seed)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a row measured, in words, and whether the goal was reached."""

    figure: str
    ok: bool


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the table: its number, the goal in words, and the function that tries it."""

    number: int
    goal: str
    run: Callable[[Trial], Outcome]


class Skipped(Exception):
    """Raised by a row that this machine cannot try; its text tells why."""
