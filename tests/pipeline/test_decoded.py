"""Decoded images that wait for their reading."""

from __future__ import annotations

import numpy as np

from edge.dicom.image import ParsedImage, ParsedSlices
from edge.pipeline.decoded import Decoded
from edge.types import Radiograph


def ct() -> ParsedSlices:
    return ParsedSlices(hu=np.zeros((1, 8, 8), np.int16))


def radiograph() -> ParsedImage:
    return ParsedImage(radiograph=Radiograph(pixels=np.zeros((4, 4), np.float32)))


def test_slices_wait_for_their_study_and_are_handed_out_once() -> None:
    decoded = Decoded()
    kept = {number: ct() for number in range(5)}
    for number, image in kept.items():
        decoded.keep(number, image)
    assert decoded.take([1, 3, 9]) == {1: kept[1], 3: kept[3]}
    assert decoded.take(range(9)) == {number: kept[number] for number in (0, 2, 4)}
    assert decoded.take(range(9)) == {}


def test_the_oldest_go_where_there_are_too_many() -> None:
    decoded = Decoded(most_bytes=3 * 128)
    for number in range(5):
        decoded.keep(number, ct())
    assert sorted(decoded.take(range(9))) == [2, 3, 4]
    for number in range(3):  # what was taken does not count any longer
        decoded.keep(number, ct())
    assert sorted(decoded.take(range(9))) == [0, 1, 2]


def test_an_image_larger_than_the_room_is_not_kept() -> None:
    decoded = Decoded(most_bytes=100)
    decoded.keep(1, ct())
    assert decoded.take([1]) == {}


def test_of_radiographs_only_the_newest_is_kept_beside_the_slices() -> None:
    decoded = Decoded()
    decoded.keep(1, ct())
    decoded.keep(2, radiograph())
    decoded.keep(3, radiograph())
    assert sorted(decoded.take(range(9))) == [1, 3]


def test_an_image_that_comes_twice_counts_once() -> None:
    decoded = Decoded(most_bytes=3 * 128)
    for number in (1, 2, 2, 2):
        decoded.keep(number, ct())
    assert sorted(decoded.take(range(9))) == [1, 2]
