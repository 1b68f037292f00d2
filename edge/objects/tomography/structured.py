"""The measurements of a chest CT in a structured report (TID 1500), and the slices that are its evidence.

A lesion refers to the slice where it is largest. Nothing else refers to a single slice, as it was measured on all of
them. Rejected: groups that refer to the Segmentation (TID 1411); a destination may be set to get no Segmentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from highdicom.sr import FindingSite, Measurement, SourceImageForMeasurementGroup
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dicom

from edge.errors import ObjectError
from edge.objects import codes, groups
from edge.objects.groups import Group, number
from edge.objects.tomography.measures import LUNGS
from edge.objects.tomography.placing import stored
from edge.objects.tomography.slices import Slices

if TYPE_CHECKING:
    from edge.objects.case import Case

_NAMES = {"right_lung": "Right lung", "left_lung": "Left lung", "both": "Both lungs"}
_OPACITIES = {"ground_glass_opacity": "ground_glass_ml", "consolidation": "consolidation_ml"}


class Groups(groups.Groups):
    """The groups of a CT.

    Parameters
    ----------
    cleaned : header of the slice nearest to the head.
    """

    decisions, changes = codes.CT_DECISIONS, codes.CT_CHANGE

    def __init__(self, case: Case, cleaned: Dataset) -> None:
        super().__init__(case, [])
        self._cleaned, self._slices = cleaned, case.slices
        self._frames = _frames(case.slices) if "NumberOfFrames" in case.source else {}

    @property
    def evidence(self) -> list[Dataset]:
        """The slices; only their identifiers differ, as they are of one series."""
        uids = dict.fromkeys(uid for uid in self._uids if uid)
        return [_of_slice(self._cleaned, uid) for uid in uids] or [self._cleaned]

    @property
    def _uids(self) -> Sequence[str]:
        return self._slices.meta.slice_uids if self._slices else ()

    def all(self) -> Iterator[Group]:
        """Every group: the decision, lungs, kinds of opacity, lesions, severity and classes."""
        yield self.decision()
        yield from self._lungs()
        yield from self._opacities()
        yield from self._lesions()
        yield from self.severity()
        yield from self.classes()

    def _lungs(self) -> Iterator[Group]:
        volumes = (self.content.segmentation or {}).get("lung_volume_ml") or {}
        detection = self.content.detection or {}
        for lung in (lung for lung in LUNGS if lung in volumes):
            measured = [number(codes.VOLUME, volumes[lung], codes.MILLILITRE)]
            measured += _known(codes.OPAQUE, (detection.get("percent") or {}).get(lung), codes.PERCENT)
            measured += _known(codes.MEAN_HU, (detection.get("mean_hu") or {}).get(lung), codes.HOUNSFIELD)
            yield self.group(
                _NAMES[lung],
                "segmentation",
                finding_type=codes.LUNG,
                finding_category=dicom.SCT.AnatomicalStructure,
                finding_sites=[self._lung(lung)],
                measurements=measured,
            )

    def _opacities(self) -> Iterator[Group]:
        detection = self.content.detection or {}
        spread = detection.get("distribution") or {}
        for code, key in _OPACITIES.items():
            volumes = detection.get(key) or {}
            measured = [
                number(codes.VOLUME, volumes[lung], codes.MILLILITRE, finding_sites=[self._lung(lung)])
                for lung in LUNGS
                if isinstance(volumes.get(lung), (int, float))
            ]
            share = detection.get(key.replace("_ml", "_percent"))
            measured += _known(codes.OPAQUE_BOTH, share, codes.PERCENT)
            if measured:
                yield self._finding(f"All {code}", code, measurements=measured)
        measured = _known(codes.PERIPHERAL, spread.get("peripheral_percent"), codes.PERCENT)
        measured += _known(codes.BASAL, spread.get("basal_percent"), codes.PERCENT)
        if measured:
            yield self.group("Distribution", "detection", finding_type=codes.LUNG, measurements=measured)

    def _lesions(self) -> Iterator[Group]:
        for count, lesion in enumerate(self.content.findings, 1):
            yield self._finding(
                f"Finding {count}",
                lesion["code"],
                finding_sites=[self.zone(lesion["zone"])],
                source_images=self._slice(lesion["slice"]),
                measurements=[
                    number(codes.VOLUME, lesion["volume_ml"], codes.MILLILITRE),
                    number(codes.FINDING_SHARE, lesion["lung_percent"], codes.PERCENT),
                    number(codes.MEAN_HU, lesion["mean_hu"], codes.HOUNSFIELD),
                ],
            )

    def _finding(self, name: str, code: str, **content: Any) -> Group:
        category = dicom.SCT.MorphologicallyAbnormalStructure
        return self.group(name, "detection", finding_type=codes.FINDINGS[code], finding_category=category, **content)

    def _slice(self, shown: int) -> list[SourceImageForMeasurementGroup]:
        """A slice by its number; one that was filled in has no image."""
        uid = self._uids[shown - 1] if 1 <= shown <= len(self._uids) else ""
        frames = [self._frames[shown]] if shown in self._frames else None
        return [SourceImageForMeasurementGroup(self._cleaned.SOPClassUID, uid, frames)] if uid else []

    def scores(self, severity: Mapping[str, Any]) -> Iterator[Measurement]:
        """The score, and score and affected share of each zone."""
        affected, most = severity["affected_percent"], severity["ct_score_max"]
        yield number(codes.CT_SCORE, severity["ct_score"], codes.score_unit(most))
        yield number(codes.OPAQUE_BOTH, affected["both"], codes.PERCENT)
        for zone, score in severity["zones"].items():
            sites = [self.zone(zone)]
            yield number(codes.CT_SCORE_ZONE, score, codes.score_unit(most // 6), finding_sites=sites)
            yield from _known(codes.OPAQUE, affected.get(zone), codes.PERCENT, finding_sites=sites)

    def _lung(self, lung: str) -> FindingSite:
        return FindingSite(codes.LUNG, codes.BOTH) if lung == "both" else self.site(codes.LUNG, lung)


def _known(name: Any, value: Any, unit: Any, **more: Any) -> list[Measurement]:
    return [number(name, value, unit, **more)] if isinstance(value, (int, float)) else []


def _frames(slices: Slices | None) -> dict[int, int]:
    """The frame of each slice, both counted from 1; none where the header does not tell."""
    try:
        return {place.number: place.frame + 1 for place in stored(slices)} if slices else {}
    except ObjectError:
        return {}


def _of_slice(cleaned: Dataset, uid: str) -> Dataset:
    slice_ = Dataset()
    slice_.update(cleaned)
    slice_.add_new("SOPInstanceUID", "UI", uid)  # setting its value would change that of the element that both share
    return slice_
