"""What the CT classifier says of sources that it has not seen.

For every source the learnt part is fitted on the others alone. The shipped one, fitted on all three, has no unseen
source left: its calibration and its limits come from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.evaluation.ct_limits import Unseen
from models.evaluation.figures import Flags, Numbers
from models.training import ct_covid19, lung_pictures, tomography
from models.training.ct_covid19 import Line
from models.training.lung_pictures import Picture


@dataclass(frozen=True, slots=True)
class Shared:
    """Pictures with their shares (``ct_covid19.shares``) and truth, in the same order."""

    pictures: Sequence[Picture]
    shares: Numbers
    is_covid: Flags

    def only(self, kept: Flags) -> Shared:
        """Some of them."""
        return Shared(
            [one for one, is_kept in zip(self.pictures, kept, strict=True) if is_kept],
            self.shares[kept],
            self.is_covid[kept],
        )

    def of_source(self, source: str) -> Shared:
        """Those of one source."""
        return self.only(np.array([one.row.source == source for one in self.pictures]))

    def line_without(self, left_out: Sequence[str]) -> Line:
        """What is learnt from the training pictures of the other sources."""
        taught = self.only(np.array([ct_covid19.teaches(one, left_out) for one in self.pictures]))
        return ct_covid19.fitted(taught.shares, taught.pictures, ct_covid19.Config().ridge)


def shared(root: Path) -> Shared:
    """Every public picture."""
    pictures = lung_pictures.load(root, ct_covid19.Config().side)
    found = ct_covid19.shares([one.tile() for one in pictures])
    return Shared(pictures, found, np.array([one.row.is_covid for one in pictures]))


def unseen(everything: Shared) -> dict[str, Unseen]:
    """Every source as it looks to what was learnt from the others."""
    found = {}
    for source in tomography.SOURCES:
        mine = everything.of_source(source)
        found[source] = Unseen(everything.line_without((source,))(mine.shares), mine.is_covid)
    return found
