"""Figures of the stages of a chest CT: ``python -m models.evaluation.tomography --data DIR``.

Every public series is read as the box reads it. Then the lungs that were found are measured again: with the slices
thicker, with noise and with other kernels, and with balls of known volume painted into the normal series. Writes
``ct_report.json`` and the table of the README. The network was trained with these series: the figures tell of the
measurement of opacity, not of how well a stranger's lungs are outlined (see the card of ``ct_lung``).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from edge.engines.registry import card, default_folder, load
from edge.pipeline.runner import TOMOGRAPH_STAGES, Engines, run
from edge.stages.tomography.densitometry import GROUND_GLASS_FROM_HU, tissue
from edge.stages.tomography.planes import SpacingMm
from edge.stages.tomography.scan import Acquisition, Labels, Scan
from edge.stages.tomography.zones import AFFECTED_FROM
from edge.types import StageResult, Volume
from models.evaluation.cards import keep, write_block
from models.evaluation.figures import Figures
from models.training import tomography

Hu = npt.NDArray[np.float32]
NORMAL = "normal_normal001"
REPEATED = "covid_p001"
LEAST_PIXEL_MM = 1.1
_SEED = 0
_MIDDLES_MM = ((40.0, 0.0, -75.0), (-30.0, 30.0, -80.0), (0.0, 40.0, 80.0), (35.0, -20.0, 85.0))
"""Of painted balls, from the middle of both lungs: towards the feet, the back and the left."""


def working(volume: Volume) -> Volume:
    """A volume from head to feet, its pixels made larger by a whole factor until they are wide enough."""
    factor = int(np.ceil(LEAST_PIXEL_MM / volume.spacing_mm[1] - 1e-9))
    deep, high, wide = (size // step for size, step in zip(volume.hu.shape, (1, factor, factor), strict=True))
    cut = volume.hu[::-1, : high * factor, : wide * factor]
    hu = np.rint(cut.reshape(deep, high, factor, wide, factor).mean((2, 4))).astype(np.int16)
    affine = volume.affine @ np.diag([-1.0, factor, factor, 1.0])
    affine[:3, 3] = (volume.affine @ np.array([deep - 1, (factor - 1) / 2, (factor - 1) / 2, 1.0]))[:3]
    spacing = (volume.spacing_mm[0], volume.spacing_mm[1] * factor, volume.spacing_mm[2] * factor)
    return Volume(hu=hu, affine=affine, spacing_mm=spacing)


def scan_of(volume: Volume) -> Scan:
    """A scan of a full volume, as the box makes it."""
    acquisition = Acquisition(slice_count=len(volume.hu), spacing_mm=volume.spacing_mm)
    return Scan(volume=working(volume), acquisition=acquisition)


@dataclass(frozen=True, slots=True)
class Lungs:
    """A volume with its lungs and airways, from which opacity is measured."""

    volume: Volume
    labels: Labels
    airways: npt.NDArray[np.bool_]

    def tissue(self, hu: npt.NDArray[Any]) -> Labels:
        """What the same lungs hold with other densities."""
        changed = replace(self.volume, hu=np.clip(np.rint(hu), -1024, 3071).astype(np.int16))
        return tissue(changed, self.labels, self.airways)

    def affected_percent(self, hu: npt.NDArray[Any]) -> float:
        """Affected share of the lungs with other densities."""
        return 100 * float((self.tissue(hu)[self.labels > 0] >= AFFECTED_FROM).mean())


@dataclass(frozen=True, slots=True)
class Read:
    """A series after all stages."""

    lungs: Lungs
    tissue: Labels
    results: list[StageResult]
    seconds: float

    def values(self, stage: str) -> Mapping[str, Any]:
        """What a stage measured."""
        return next(result.values for result in self.results if result.stage == stage)


def read(volume: Volume, engines: Engines) -> Read:
    """All stages over a series."""
    begun = time.monotonic()
    scan, results = run(scan_of(volume), engines, TOMOGRAPH_STAGES)
    seconds = time.monotonic() - begun
    if scan.lungs is None or scan.airways is None or scan.tissue is None:
        raise ValueError(f"expected a chest, got {[remark.text for one in results for remark in one.remarks]}")
    return Read(Lungs(scan.volume, scan.lungs.labels, scan.airways), scan.tissue, results, seconds)


def series_figures(one: Read) -> dict[str, Any]:
    """Shares of a series, what a plain threshold makes of it, and its volumes against SimpleITK's own statistics."""
    detection, positioning = one.values("detection"), one.values("positioning")
    return {
        "affected_percent": detection["percent"]["both"],
        "ground_glass_percent": detection["ground_glass_percent"],
        "consolidation_percent": detection["consolidation_percent"],
        "above_minus_700_percent": round(_plain_percent(one.lungs), 2),
        "decision": one.values("classification")["decision"],
        "ct_score": one.values("severity")["ct_score"],
        "peripheral_percent": detection["distribution"]["peripheral_percent"],
        "basal_percent": detection["distribution"]["basal_percent"],
        "greatest_difference_to_simpleitk_ml": round(_against_simpleitk_ml(one), 2),
        "remarks": ", ".join(remark.code for result in one.results for remark in result.remarks) or "none",
        **{f"positioning {name}": value for name, value in positioning.items()},
    }


def _plain_percent(lungs: Lungs) -> float:
    return 100 * float((lungs.volume.hu[lungs.labels > 0] > GROUND_GLASS_FROM_HU).mean())


def _against_simpleitk_ml(one: Read) -> float:
    """Greatest difference of the volumes of lungs and opacities to those of LabelShapeStatistics."""
    volumes, detection = one.values("segmentation")["lung_volume_ml"], one.values("detection")
    sides = ("right_lung", "left_lung")
    parts = (volumes, detection["ground_glass_ml"], detection["consolidation_ml"])
    ours = [part[side] for part in parts for side in sides]
    spacing = one.lungs.volume.spacing_mm
    theirs = [*_shape_ml(one.lungs.labels, spacing, (1, 2)), *_shape_ml(one.tissue, spacing, (3, 4, 5, 6))]
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


def _shape_ml(labels: Labels, spacing_mm: SpacingMm, numbers: tuple[int, ...]) -> Iterator[float]:
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(spacing_mm[::-1])
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(image)
    return (shapes.GetPhysicalSize(n) / 1000 if n in shapes.GetLabels() else 0.0 for n in numbers)


def _noisy(hu: Hu, by_hu: float) -> Hu:
    return np.asarray(hu + np.random.default_rng(_SEED).normal(0, by_hu, hu.shape), np.float32)


def _blurred(hu: Hu, by_px: float) -> Hu:
    return np.stack([cv2.GaussianBlur(plane, (0, 0), by_px) for plane in hu])


CHANGES: Mapping[str, Callable[[Hu], Hu]] = {
    "as it is": lambda hu: hu,
    "noise of 20 HU more": lambda hu: _noisy(hu, 20),
    "noise of 40 HU more": lambda hu: _noisy(hu, 40),
    "noise of 120 HU more": lambda hu: _noisy(hu, 120),
    "softer kernel (0.5 pixels)": lambda hu: _blurred(hu, 0.5),
    "much softer kernel (1 pixel)": lambda hu: _blurred(hu, 1.0),
    "sharper kernel": lambda hu: 2 * hu - _blurred(hu, 1.0),
    "20 HU denser": lambda hu: hu + 20,
}


def thicker(lungs: Lungs, times: int, first: int) -> Lungs:
    """The same with slices that are the mean of several, from one on; the outlines are those of the middle one."""
    count = (len(lungs.labels) - first) // times
    hu = lungs.volume.hu[first : first + count * times].reshape(count, times, *lungs.labels.shape[1:]).mean(1)
    middles = slice(first + times // 2, first + count * times, times)
    deep, high, wide = lungs.volume.spacing_mm
    volume = replace(lungs.volume, hu=np.rint(hu).astype(np.int16), spacing_mm=(deep * times, high, wide))
    return Lungs(volume, np.ascontiguousarray(lungs.labels[middles]), np.ascontiguousarray(lungs.airways[middles]))


def repeated(lungs: Lungs) -> dict[str, Any]:
    """Affected share of slices of 2 mm and of 6 mm out of them, however they fall, and the greatest difference."""
    thin, *thick = (one.affected_percent(one.volume.hu) for one in (lungs, *(thicker(lungs, 3, n) for n in range(3))))
    return {
        "2 mm": round(thin, 2),
        "6 mm": ", ".join(f"{share:.2f}" for share in thick),
        "greatest_difference_points": round(max(abs(share - thin) for share in thick), 2),
    }


def painted(lungs: Lungs, hu: int, radius_mm: float) -> dict[str, Any]:
    """Errors of the volumes of balls of one density, painted into lungs one by one; vessels in them stay."""
    before = lungs.tissue(lungs.volume.hu) >= AFFECTED_FROM
    errors = []
    for middle in _MIDDLES_MM:
        ball = _ball(lungs, middle, radius_mm)
        found = lungs.tissue(np.where(ball, np.maximum(lungs.volume.hu, hu), lungs.volume.hu)) >= AFFECTED_FROM
        errors.append(100 * (float((found & ~(before & ~ball)).sum()) / float(ball.sum()) - 1))
    return {"error_percent": ", ".join(f"{error:+.1f}" for error in errors)}


def _ball(lungs: Lungs, middle_mm: tuple[float, float, float], radius_mm: float) -> npt.NDArray[np.bool_]:
    inside = lungs.labels > 0
    centre = np.argwhere(inside).mean(0)
    axes = [
        (np.arange(size) - at) * step - off
        for size, at, step, off in zip(inside.shape, centre, lungs.volume.spacing_mm, middle_mm, strict=True)
    ]
    z, y, x = np.ix_(*axes)
    return np.asarray((np.sqrt(z**2 + y**2 + x**2) < radius_mm) & inside)


def figures(root: Path) -> Figures:
    """All figures, by what they are of."""
    engines: Engines = {"ct_lung": load(card("ct_lung"), threads=2)}
    found: dict[str, dict[str, Any]] = {}
    series = {}
    for name in tomography.SERIES:
        one = read(tomography.series(root, name), engines)
        series[name] = one.lungs
        found[name] = series_figures(one)
        seconds = {"seconds": round(one.seconds, 1), "slices": len(one.tissue)}
        found[f"all stages of {name}, two threads"] = seconds
    for label, change in CHANGES.items():
        shares = {
            name: lungs.affected_percent(change(lungs.volume.hu.astype(np.float32))) for name, lungs in series.items()
        }
        found[label] = {name: round(share, 2) for name, share in shares.items()}
    found[f"{REPEATED}, thicker slices"] = repeated(series[REPEATED])
    for kind, hu in (("ground glass", -550), ("consolidation", 20)):
        for radius in (12.0, 18.0):
            found[f"balls of {kind}, {2 * radius:.0f} mm wide, in {NORMAL}"] = painted(series[NORMAL], hu, radius)
    return found


def main() -> None:
    """Measure, and write the report and the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    found = figures(parser.parse_args().data)
    keep("ct_report.json", "ct_opacity", found)
    rows = [f"| {what} | {_said(values)} |" for what, values in found.items()]
    write_block(default_folder().parent / "README.md", "figures of chest CT", ["| what | figure |", "|---|---|", *rows])


def _said(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items() if "positioning" not in name)


if __name__ == "__main__":
    main()
