"""Reference masks of the lungs of three CT series: the classical method, looked at and corrected by hand.

A third to nine tenths of the slices of each series (see the card of ``ct_lung``) were looked at with the outline of
``edge.stages.tomography.lungs`` on them. What was wrong stands in ``CORRECTIONS``, in slices (from feet to head) and
rows and columns of the full image; everything else was accepted as it was. The masks are written to ``build/ct``:

    python -m models.training.lung_references --data ../shared/data
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.stages.tomography import lungs, planes
from edge.stages.tomography.lungs import LEFT, RIGHT
from edge.types import Volume
from models.training import tomography

Labels = npt.NDArray[np.uint8]
DENSE_FROM_HU = -400
_CACHE = Path("build/ct")


@dataclass(frozen=True, slots=True)
class Correction:
    """One change to the slices first to last (included), within rows and columns (half open).

    Attributes
    ----------
    what : ``clear`` takes labels away, ``clear dense`` only where it is dense, ``fill`` fills what each slice of
        the lung encloses, ``close`` closes gaps of the lung that are narrower than 40 mm.
    """

    what: str
    side: int
    first: int
    last: int
    rows: tuple[int, int]
    columns: tuple[int, int]
    why: str


CORRECTIONS: Mapping[str, tuple[Correction, ...]] = {
    "covid_p001": (),
    "cap_cap001": (
        Correction("clear", LEFT, 0, 3, (0, 512), (0, 512), "gas in the bowel, taken for lung"),
        Correction("clear", LEFT, 4, 6, (0, 512), (0, 417), "the same"),
        Correction("clear", LEFT, 7, 7, (185, 300), (330, 415), "the same"),
        Correction("clear", LEFT, 8, 8, (195, 280), (340, 399), "the same"),
        Correction("clear", LEFT, 9, 9, (195, 275), (340, 396), "the same"),
        Correction("clear dense", LEFT, 10, 10, (340, 362), (305, 372), "diaphragm, closed in between tips"),
        Correction("clear dense", RIGHT, 14, 14, (215, 290), (30, 98), "liver, closed in at the wall"),
        Correction("fill", RIGHT, 16, 25, (0, 512), (0, 512), "consolidation around airways, left out as if a dome"),
        Correction("close", RIGHT, 31, 35, (358, 430), (40, 230), "consolidation at the wall, 50 mm wide"),
        Correction("clear", RIGHT, 43, 45, (222, 282), (242, 262), "air in the oesophagus"),
        Correction("clear", RIGHT, 46, 49, (205, 262), (240, 259), "the same"),
        Correction("clear", RIGHT, 50, 51, (190, 250), (238, 265), "the same"),
        Correction("clear", RIGHT, 52, 55, (165, 228), (225, 268), "the same"),
        Correction("clear dense", RIGHT, 51, 53, (165, 215), (165, 240), "what was closed in between it and the lung"),
    ),
    "normal_normal001": (),
}


def corrected(labels: Labels, volume: Volume, corrections: tuple[Correction, ...]) -> Labels:
    """Labels with what was corrected by hand."""
    labels = labels.copy()
    for one in corrections:
        place = (slice(one.first, one.last + 1), slice(*one.rows), slice(*one.columns))
        lung = labels[place] == one.side
        dense = planes.smoothed(volume.hu[place]) >= DENSE_FROM_HU
        if one.what == "clear":
            labels[place][lung] = 0
        elif one.what == "clear dense":
            labels[place][lung & dense] = 0
        elif one.what == "fill":
            labels[place][planes.each(lung, planes.filled) & (labels[place] == 0)] = one.side
        elif one.what == "close":
            closed = planes.each(lung, lambda plane: planes.closed(plane, 20.0, volume.spacing_mm))
            labels[place][closed & (labels[place] == 0)] = one.side
        else:
            raise ValueError(f"expected clear, clear dense, fill or close, got {one.what}")
    return labels


def reference(root: Path, name: str) -> tuple[Volume, Labels]:
    """A series and its corrected mask, 1 the right lung, 2 the left one."""
    volume = _series(root, name)
    return volume, corrected(classical(root, name), volume, CORRECTIONS[name])


def classical(root: Path, name: str) -> Labels:
    """The mask of a series before correction."""
    path = _CACHE / f"{name}.npz"
    _series(root, name)
    with np.load(path) as kept:
        return np.asarray(kept["labels"], np.uint8)


def _series(root: Path, name: str) -> Volume:
    """A series; its voxels and its classical mask are kept in ``build/ct``, since both take a minute."""
    path = _CACHE / f"{name}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = tomography.series(root, name)
        labels = lungs.segment(made).labels
        np.savez(path, hu=made.hu, affine=made.affine, spacing_mm=made.spacing_mm, labels=labels)
    with np.load(path) as kept:
        thick, high, wide = (float(v) for v in kept["spacing_mm"])
        return Volume(hu=kept["hu"], affine=kept["affine"], spacing_mm=(thick, high, wide))


def main() -> None:
    """Make the masks and print their volumes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    for name in tomography.SERIES:
        volume, labels = reference(given.data, name)
        voxel_ml = float(np.prod(volume.spacing_mm)) / 1000
        right, left = (round(float((labels == side).sum()) * voxel_ml) for side in (RIGHT, LEFT))
        print(f"{name}: right {right} ml, left {left} ml, {len(CORRECTIONS[name])} corrections")


if __name__ == "__main__":
    main()
