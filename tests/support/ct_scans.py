"""Scans for the stages of tomography, out of the phantom whose every volume is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge.stages.tomography.scan import Acquisition, PriorScan, Scan
from edge.stages.tomography.zones import thirds
from edge.types import Mask, Volume
from tests.support.ct_phantom import Bits, Chest, Millimetres, chest

NAMES = {1: "right lung", 2: "left lung"}


def raw(volume: Volume) -> Scan:
    """A scan before any stage."""
    return Scan(volume=volume, acquisition=Acquisition(slice_count=len(volume.hu), spacing_mm=volume.spacing_mm))


def outlined(made: Chest) -> Scan:
    """A scan whose lungs and airways are those of the phantom, with their zones."""
    labels = np.where(made.right, 1, made.left * 2).astype(np.uint8)
    mask = Mask(labels=labels, names=NAMES)
    return replace(raw(made.volume), lungs=mask, airways=made.trachea, zones=thirds(labels))


def from_head(spacing_mm: Millimetres = (5.0, 1.5, 1.5), *, consolidated: bool = False) -> Chest:
    """A phantom as the box assembles a series, with vessels as wide as they are in the outer lung."""
    return chest(spacing_mm, from_head=True, consolidated=consolidated, vessel_mm=3.0)


def ball(made: Chest, middle_mm: Millimetres, radius_mm: float) -> Bits:
    """A ball within the lungs; millimetres from the middle of the phantom towards feet, back and left."""
    axes = [
        (np.arange(count) - (count - 1) / 2) * step - middle
        for count, step, middle in zip(made.volume.hu.shape, made.volume.spacing_mm, middle_mm, strict=True)
    ]
    z, y, x = np.ix_(*axes)
    return np.asarray(np.sqrt(z**2 + y**2 + x**2) < radius_mm) & made.lungs


def painted(made: Chest, where: Bits, hu: int) -> Chest:
    """A phantom with something of one density in it, as noisy as the rest."""
    noise = np.random.default_rng(1).normal(0, 12, made.volume.hu.shape)
    changed = np.where(where, hu + noise, made.volume.hu).astype(np.int16)
    return replace(made, volume=replace(made.volume, hu=changed))


def prior_of(scan: Scan, shift_mm: Millimetres = (0.0, 0.0, 0.0)) -> PriorScan:
    """A scan that detection read, as an earlier one of the same patient, lying elsewhere on the table."""
    assert scan.tissue is not None
    affine = scan.volume.affine.copy()
    affine[:3, 3] += shift_mm
    severity = {"study_key": "0" * 32, "completed_at": "2026-03-01T10:00:00+00:00", "acquired_at": None}
    grey = np.zeros(scan.tissue.shape, np.uint8)
    return PriorScan(grey=grey, tissue=scan.tissue, affine=affine, severity=severity)
