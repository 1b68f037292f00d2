"""Lungs and opacities as a binary Segmentation (PS3.3 section A.51) over the stored image.

A radiograph has no place in a frame of reference: the segments lie on the pixels of their source
image one by one (Derivation Image, spatial locations preserved), as section C.8.20.3 has it.
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
    content = Content(case.report)
    assert content.segmentation is not None  # noqa: S101 (as ``kinds`` says)
    frame, cleaned = Frame.of(content.segmentation), header.clean(case.source)
    header.check_size(cleaned, frame.stored_shape)
    if frame.height * frame.width > _MOST_MILLION_PX * 1_000_000:
        raise ObjectError("too_large", limit=_MOST_MILLION_PX)
    parts = dict(_parts(content))
    segmentation = Segmentation(
        source_images=[cleaned],
        pixel_array=np.stack([frame.mask(contours) for contours in parts.values()], axis=-1)[None],
        segmentation_type="BINARY",
        segment_descriptions=[_described(number, name, content) for number, name in enumerate(parts, 1)],
        content_label="CHEST_EDGE",
        content_description=equipment.NOTICE,
        content_creator_name=f"{equipment.MAKER}^",
        content_qualification="RESEARCH",
        omit_empty_frames=False,
        **equipment.identity(case, Kind.SEGMENTATION),
    )
    dimensions = equipment.uid("dimensions", segmentation.SOPInstanceUID)
    for item in (*segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions
    equipment.place_in_body(segmentation, frame.orientation if content.knows_sides else None, content.is_chest)
    return equipment.dated(segmentation, case, cleaned)


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
    model = content.model_of(stage) or {"model": equipment.MAKER, "model_version": "", "model_sha256": ""}
    family: Code = dicom.DCM.ArtificialIntelligence
    return AlgorithmIdentificationSequence(
        name=model["model"],
        family=family,
        version=str(model["model_version"]),
        source=equipment.MAKER,
        parameters={"SHA-256": model["model_sha256"]},
    )
