"""Severity: how much of the lungs is affected and how densely, by three published scores.

Extent 0 to 8 and opacity 0 to 6 (Cohen 2020), six zones 0 to 3 (Brixia, Borghesi 2020) and
the opaque percentage. They come from the maps of the detection by linear weights that
were fitted with it, so that every score can be traced to a place of the image. Against a
prior radiograph of the same patient, zones are compared one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.engines.engine import Engine
from edge.stages.radiograph.case import Case
from edge.stages.radiograph.detection import OPACITY, SEVERITY, Maps
from edge.stages.radiograph.geometry import Labels, squash_labels
from edge.stages.radiograph.zones import mean_by_zone, share_of
from edge.stages.stage import Outcome, Stage
from edge.types import Grade, Zone

MOST_BY_ZONE, MOST_EXTENT, MOST_OPACITY = 3.0, 8.0, 6.0
_GRADES = ((6.0, Grade.MILD), (12.0, Grade.MODERATE), (18.0, Grade.SEVERE))
"""Thirds of the Brixia score's range."""


def read(case: Case, engine: Engine) -> Outcome[Case]:
    """Score the maps of the detection; without them no severity is given."""
    if case.alignment is None or case.opacity is None:
        return Outcome(case=case)
    limits = engine.card.thresholds
    zones = squash_labels(case.alignment.zones, case.opacity.shape[-1])
    scores = scored(features(case.opacity, zones), limits)
    percent = round(100 * share_of(case.opacity[OPACITY] >= limits["opaque_from"], zones > 0), 1)
    brixia = round(sum(scores["zones"].values()), 1)
    values = {
        **scores,
        "brixia": brixia,
        "percent": percent,
        "grade": grade(brixia, limits).value,
        "change": change(scores["zones"], case.prior, limits) if case.prior else None,
    }
    return Outcome(case=case, values=values)


def features(maps: Maps, zones: Labels) -> npt.NDArray[np.float64]:
    """What the scores are computed from, shape (12,): by zone the network's severity, 0 to 3, then its opacity."""
    by_zone = (mean_by_zone(maps[plane] * scale, zones) for plane, scale in ((SEVERITY, MOST_BY_ZONE), (OPACITY, 1.0)))
    return np.array([value for means in by_zone for value in means.values()])


def scored(found: npt.NDArray[np.float64], limits: Mapping[str, Any]) -> dict[str, Any]:
    """Extent, opacity and the score of each zone.

    Parameters
    ----------
    found : of ``features``.
    limits : ``zone_weights`` (gain, opacity gain, offset) for a zone, ``extent_weights`` and
        ``opacity_weights`` (sum of zones, sum of opacities, offset) for the whole.
    """
    severity, opaque = found[: len(Zone)], found[len(Zone) :]
    by_zone = _linear(severity, opaque, limits["zone_weights"], MOST_BY_ZONE)
    sums = severity.sum(), opaque.sum()
    return {
        "extent": float(_linear(*sums, limits["extent_weights"], MOST_EXTENT)),
        "opacity": float(_linear(*sums, limits["opacity_weights"], MOST_OPACITY)),
        "zones": {zone.value: float(score) for zone, score in zip(Zone, by_zone, strict=True)},
    }


def _linear(severity: Any, opaque: Any, weights: list[float], most: float) -> Any:
    score = weights[0] * severity + weights[1] * opaque + weights[2]
    return np.round(np.clip(score, 0, most), 1)


def grade(brixia: float, limits: Mapping[str, Any]) -> Grade:
    """Severity in one word; ``none`` below what normal radiographs reach."""
    if brixia < limits["none_below"]:
        return Grade.NONE
    return next(name for most, name in _GRADES if brixia <= most)


def change(zones: Mapping[str, float], prior: Mapping[str, Any], limits: Mapping[str, Any]) -> dict[str, Any]:
    """How zones differ from those of a prior; a sum within ``least_change`` counts as the same."""
    differences = {name: round(score - prior["zones"][name], 1) for name, score in zones.items()}
    total = round(sum(differences.values()), 1)
    verdict = "same" if abs(total) < limits["least_change"] else "worse" if total > 0 else "better"
    return {
        "study_key": prior["study_key"],
        "completed_at": prior["completed_at"],
        "acquired_at": prior.get("acquired_at"),
        "zones": differences,
        "brixia": total,
        "verdict": verdict,
    }


STAGE = Stage(name="severity", model="opacity", read=read)
