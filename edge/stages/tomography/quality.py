"""Quality: is this a volume in Hounsfield units, and fine enough for what is measured on it?

Air lies near -1000 HU and soft tissue near 40 (the scale is defined by air and water). A volume whose two commonest
densities lie elsewhere has lost its rescale values, and every density in it would be wrong. Rejected: trusting the
header alone, which can be absent, and can lie.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from edge.stages.stage import Outcome, Stage
from edge.stages.tomography.scan import Acquisition, Scan
from edge.types import N_, Remark, Severity, Volume

Hu = npt.NDArray[np.int16]

NOT_HOUNSFIELD = Remark(
    code="not_hounsfield",
    text=N_("The values are no Hounsfield units: air or soft tissue does not lie where it should. No result."),
    severity=Severity.STOP,
    advice=N_("Send the series of the CT unit itself, not a copy that another program saved."),
)
TOO_SHORT = Remark(
    code="volume_too_short",
    text=N_("%(slices)s slices that cover %(length)s mm are too few for a volume. No result."),
    severity=Severity.STOP,
    advice=N_("Send all axial slices of the chest."),
)
SLICES_FAR_APART = Remark(
    code="slices_far_apart",
    text=N_("The slices lie %(spacing)s mm apart: too far for a volume. No result."),
    severity=Severity.STOP,
    advice=N_("Send a series whose slices follow each other closely."),
)
THICK_SLICES = Remark(
    code="thick_slices",
    text=N_("The slices are %(thickness)s mm thick or apart: small opacities are missed."),
    severity=Severity.WARN,
    advice=N_("If the unit can make thinner slices of the same series, send those."),
)
COARSE_SLICES = Remark(
    code="coarse_slices",
    text=N_("The slices are %(thickness)s mm thick or apart: opacities of several millilitres can lie between them."),
    severity=Severity.WARN,
    advice=N_("If the unit can make thinner slices of the same series, send those."),
)
CONTRAST_AGENT = Remark(
    code="contrast_agent",
    text=N_("A contrast agent was given: it makes the lungs and their vessels a little denser."),
)
NOISY = Remark(
    code="noisy",
    text=N_("The image is very noisy (%(noise)s HU): ground glass may be missed, or seen where there is none."),
    severity=Severity.WARN,
    advice=N_("Send a series with a softer kernel, if there is one."),
)

_LEAST_LENGTH_MM, _MOST_SPACING_MM = 80.0, 15.0
_THICK_FROM_MM, _COARSE_FROM_MM = 5.0, 7.5
_MOST_NOISE_HU = 100.0
"""From here on, added noise moved the share of the three public series by a tenth of it (docs/result.md)."""
_AIR_HU, _TISSUE_HU = (-1100.0, -700.0), (-150.0, 250.0)
"""Where the commonest densities of air or lung, and of fat, muscle or blood, lie."""
_BIN_HU, _APART_HU, _PADDING_TO_HU, _LEAST_SHARE = 10, 400, -1024, 0.01
"""Values end at -1024, and padding lies there: it would pass for air of any scale."""
_SOFT_HU = (-20, 120)
_SAMPLED_SLICES, _EACH_PX = 24, 2


def unaided(scan: Scan) -> Outcome[Scan]:
    """Check that the volume can be measured."""
    sample = _sample(scan.volume)
    air, tissue = commonest(sample)
    noise = noise_hu(sample)
    remarks = [*_stops(scan, air, tissue), *_warnings(scan.acquisition, noise)]
    values = {
        "slices": scan.acquisition.slice_count,
        "length_mm": round(_length_mm(scan.volume), 1),
        "thickness_mm": round(_thickness_mm(scan.acquisition), 2),
        "air_hu": air,
        "tissue_hu": tissue,
        "noise_hu": None if noise is None else round(noise, 1),
        "gaps_mm": list(scan.acquisition.gaps_mm),
        "has_contrast": scan.acquisition.has_contrast,
        "is_scaled": scan.acquisition.is_scaled,
    }
    return Outcome(case=scan.noting(remarks), values=values, remarks=tuple(remarks))


def _stops(scan: Scan, air: float | None, tissue: float | None) -> list[Remark]:
    remarks = []
    slices, length = scan.acquisition.slice_count, _length_mm(scan.volume)
    if length < _LEAST_LENGTH_MM:
        remarks.append(replace(TOO_SHORT, values={"slices": str(slices), "length": f"{length:.0f}"}))
    elif scan.acquisition.spacing_mm[0] > _MOST_SPACING_MM:
        remarks.append(replace(SLICES_FAR_APART, values={"spacing": f"{scan.acquisition.spacing_mm[0]:.0f}"}))
    is_off = any(not _within(value, limits) for value, limits in ((air, _AIR_HU), (tissue, _TISSUE_HU)))
    if is_off or (not scan.acquisition.is_scaled and air is None):
        remarks.append(NOT_HOUNSFIELD)
    return remarks


def _within(value: float | None, limits: tuple[float, float]) -> bool:
    return value is None or limits[0] <= value <= limits[1]


def _warnings(made: Acquisition, noise: float | None) -> list[Remark]:
    remarks = []
    if _thickness_mm(made) >= _THICK_FROM_MM:
        thick = COARSE_SLICES if _thickness_mm(made) >= _COARSE_FROM_MM else THICK_SLICES
        remarks.append(replace(thick, values={"thickness": f"{_thickness_mm(made):.1f}"}))
    if made.has_contrast:
        remarks.append(CONTRAST_AGENT)
    if noise is not None and noise > _MOST_NOISE_HU:
        remarks.append(replace(NOISY, values={"noise": f"{noise:.0f}"}))
    return remarks


def _thickness_mm(made: Acquisition) -> float:
    """Of a slice, or from one to the next where that is more: what lies between them is not seen either."""
    return max(made.thickness_mm or 0.0, made.spacing_mm[0])


def _length_mm(volume: Volume) -> float:
    return len(volume.hu) * volume.spacing_mm[0]


def _sample(volume: Volume) -> Hu:
    """Some of the slices; of each, the middle, where the body is."""
    rows, columns = (size // 8 for size in volume.hu.shape[1:])
    some = np.unique(np.linspace(0, len(volume.hu) - 1, _SAMPLED_SLICES).astype(int))
    return np.asarray(volume.hu[some, rows:-rows, columns:-columns] if rows and columns else volume.hu[some])


def commonest(hu: Hu) -> tuple[float | None, float | None]:
    """Commonest density of air or lung, and of soft tissue; None of what there is too little of."""
    seen = hu[:, ::_EACH_PX, ::_EACH_PX]
    bins, counts = np.unique(seen[seen > _PADDING_TO_HU] // _BIN_HU, return_counts=True)
    if not len(bins):
        return None, None
    middles = bins.astype(float) * _BIN_HU + _BIN_HU / 2
    first = middles[counts.argmax()]
    others = np.where(abs(middles - first) >= _APART_HU, counts, 0)
    if others.sum() < _LEAST_SHARE * counts.sum():
        return (float(first), None) if first < (_AIR_HU[1] + _TISSUE_HU[0]) / 2 else (None, float(first))
    air, tissue = sorted((float(first), float(middles[others.argmax()])))
    return air, tissue


def noise_hu(hu: Hu) -> float | None:
    """Standard deviation of the noise in soft tissue, from what a median of 3 x 3 takes away; None without tissue.

    By the median of absolute differences, which edges do not move (Donoho and Johnstone 1994).
    """
    rest = []
    for plane in hu[:: max(1, len(hu) // 8)]:
        smooth = cv2.medianBlur(plane, 3)
        soft = (smooth > _SOFT_HU[0]) & (smooth < _SOFT_HU[1])
        rest.append((plane - smooth)[soft])
    found = np.concatenate(rest)
    return float(np.median(abs(found))) * 1.4826 if found.size > 100 else None


STAGE = Stage(name="quality", unaided=unaided)
