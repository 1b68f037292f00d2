"""Lungs and opacities as a binary Segmentation (PS3.3 section A.51) over the stored image.

A radiograph has no place in a frame of reference: the segments lie on the pixels of their source
image one by one (Derivation Image, spatial locations preserved), as section C.8.20.3 has it. Those of
a CT are worked out in ``edge.objects.tomography.segments``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from highdicom.color import CIELabColor
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dicom
from pydicom.sr.coding import Code

from edge import wording
from edge.errors import ObjectError
from edge.objects import codes, equipment, header, words
from edge.objects.content import Content
from edge.objects.geometry import Frame, Line
from edge.objects.tomography import segments as tomography
from edge.types import Kind

if TYPE_CHECKING:
    from edge.objects.case import Case

_MOST_MILLION_PX = 40
"""Detectors have up to 20; 100 took 1.4 GiB of memory."""
_COLOURS = {  # those of the page
    "right_lung": (0x3F, 0xD0, 0xFF),
    "left_lung": (0xFF, 0xD2, 0x4A),
    "ground_glass_opacity": (0x9D, 0xFF, 0x6B),
    "consolidation": (0xFF, 0x9D, 0x3C),
}


def make(case: Case) -> Dataset:
    """The segmentation of a result that has believed outlines.

    Raises
    ------
    ObjectError
        ``too_large`` and ``other_size``; what the header is refused for.
    """
    content, cleaned = Content(case.report), header.clean(case.source)
    names, placed = tomography.arguments(case, content) if content.is_tomography else _arguments(content, cleaned)
    segmentation = Segmentation(
        segmentation_type="BINARY",
        segment_descriptions=[_described(number, name, content) for number, name in enumerate(names, 1)],
        content_label="CHEST_EDGE",
        content_description=equipment.NOTICE,
        content_creator_name=f"{equipment.MAKER}^",
        content_qualification="RESEARCH",
        **placed,
        **equipment.identity(case, Kind.SEGMENTATION),
    )
    dimensions = equipment.uid("dimensions", segmentation.SOPInstanceUID)
    for item in (*segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions
    equipment.place_in_body(segmentation, _orientation(content), content.is_chest)
    return equipment.dated(segmentation, case, cleaned)


def _arguments(content: Content, cleaned: Dataset) -> tuple[list[str], dict[str, Any]]:
    """The segments of a radiograph by name, and what highdicom needs to lay them over it."""
    assert content.segmentation is not None  # noqa: S101 (as ``kinds`` says)
    frame = Frame.of(content.segmentation)
    header.check_size(cleaned, frame.stored_shape)
    if frame.height * frame.width > _MOST_MILLION_PX * 1_000_000:
        raise ObjectError("too_large", limit=_MOST_MILLION_PX)
    parts = dict(_parts(content))
    pixels = np.stack([frame.mask(contours) for contours in parts.values()], axis=-1)[None]
    return list(parts), {"source_images": [cleaned], "pixel_array": pixels, "omit_empty_frames": False}


def _orientation(content: Content) -> tuple[str, str] | None:
    """Of the stored radiograph, where its sides are certain; the place of a CT tells it better."""
    if content.is_tomography or not content.segmentation or not content.knows_sides:
        return None
    return Frame.of(content.segmentation).orientation


def _parts(content: Content) -> Iterator[tuple[str, list[Line]]]:
    for lung, contours in content.lungs.items():
        yield lung, list(contours)
    for code in codes.FINDINGS:
        if found := [finding["contour"] for finding in content.findings if finding["code"] == code]:
            yield code, found


def _described(number: int, name: str, content: Content) -> SegmentDescription:
    is_lung = name not in codes.FINDINGS
    described = SegmentDescription(
        segment_number=number,
        segment_label=words.lung(content, name) if is_lung else wording.FINDINGS[name],
        segmented_property_category=_category(is_lung),
        segmented_property_type=codes.LUNG if is_lung else codes.FINDINGS[name],
        algorithm_type="AUTOMATIC",
        algorithm_identification=_algorithm(content, "segmentation" if is_lung else "detection"),
        anatomic_regions=None if is_lung else [codes.LUNG],
        display_color=CIELabColor.from_rgb(*_COLOURS[name]),
    )
    if is_lung and content.knows_sides:
        side = CodedConcept.from_code(codes.SIDES[name.split("_", maxsplit=1)[0]])
        described.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [side]
    return described


def _category(is_lung: bool) -> Any:
    return dicom.SCT.AnatomicalStructure if is_lung else dicom.SCT.MorphologicallyAbnormalStructure


def _algorithm(content: Content, stage: str) -> AlgorithmIdentificationSequence:
    model = content.model_of(stage)
    family: Code = dicom.DCM.ArtificialIntelligence
    if model is None:  # thresholds, as of the densities of a CT
        return AlgorithmIdentificationSequence(
            name=f"{equipment.MAKER} {stage}",
            family=family,
            version=content.report["software_version"],
            source=equipment.MAKER,
        )
    return AlgorithmIdentificationSequence(
        name=model["model"],
        family=family,
        version=str(model["model_version"]),
        source=equipment.MAKER,
        parameters={"SHA-256": model["model_sha256"]},
    )
