"""Zones: thirds of each lung by height, right from 1 to 3 and left from 4 to 6."""

from __future__ import annotations

import numpy as np
import pytest

from edge.stages.radiograph import zones
from edge.types import Zone


def lungs(first: slice, second: slice) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    labels = np.zeros((90, 60), np.uint8)
    labels[first, 5:25], labels[second, 35:55] = 1, 2
    return labels


def test_each_lung_is_cut_in_thirds_of_its_own_height() -> None:
    found = zones.zone_labels(lungs(slice(0, 90), slice(30, 60)), lungs(slice(0, 90), slice(30, 60)))
    assert [np.flatnonzero((found == n).any(1))[[0, -1]].tolist() for n in range(1, 7)] == [
        [0, 29],
        [30, 59],
        [60, 89],
        [30, 39],
        [40, 49],
        [50, 59],
    ]
    assert (found[:, 5:25] <= 3).all() and (found[30:60, 35:55] >= 4).all()


def test_lungs_that_reach_beyond_the_atlas_stay_in_its_outer_zones() -> None:
    found = zones.zone_labels(lungs(slice(0, 90), slice(0, 90)), lungs(slice(30, 60), slice(30, 60)))
    assert (found[:40, 5:25] == 1).all() and (found[50:, 35:55] == 6).all()


def test_zones_are_numbered_as_they_are_named() -> None:
    assert [zone.value for zone in zones.NUMBERS] == [
        f"{side}_{height}" for side in ("right", "left") for height in ("upper", "middle", "lower")
    ]
    assert (zones.RIGHT_ZONES[0], zones.LEFT_ZONES[2]) == (Zone.RIGHT_UPPER, Zone.LEFT_LOWER)


def test_means_are_taken_zone_by_zone() -> None:
    labels = zones.zone_labels(lungs(slice(0, 90), slice(0, 90)), lungs(slice(0, 90), slice(0, 90)))
    means = zones.mean_by_zone(labels * 2.0, labels)
    assert list(means.values()) == [2, 4, 6, 8, 10, 12]
    labels[labels == 5] = 0
    assert zones.mean_by_zone(labels * 2.0, labels)[Zone.LEFT_MIDDLE] == 0


@pytest.mark.parametrize(("part", "expected"), [(slice(0, 5), 0.5), (slice(0, 20), 1.0), (slice(15, 20), 0.0)])
def test_a_share_counts_what_lies_inside(part: slice, expected: float) -> None:
    whole, found = np.zeros(20, bool), np.zeros(20, bool)
    whole[:10], found[part] = True, True
    assert zones.share_of(found, whole) == expected


def test_nothing_has_no_share() -> None:
    assert zones.share_of(np.ones(3, bool), np.zeros(3, bool)) == 0
