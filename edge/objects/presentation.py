"""How a viewer shows the image as the page does: a Grayscale Softcopy Presentation State (PS3.3 section A.33.1).

Contours, boxes and words over the image where it lies with the PACS; where it lies turned or its
greys were inverted, the state turns it and sets them right. A window or a VOI LUT of the header is
taken over where it can be valid. Without one the viewer chooses the greys: the page stretches from
the darkest to the brightest value, which the header does not tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from highdicom.color import CIELabColor
from highdicom.content import PresentationLUTTransformation
from highdicom.pr import (
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    TextObject,
)
from pydicom.dataset import Dataset

from edge.language import Language, speaking
from edge.objects import equipment, greys, header, words
from edge.objects.content import Content
from edge.objects.geometry import Frame, Points, closed
from edge.types import Kind

if TYPE_CHECKING:
    from edge.objects.case import Case

_LAYERS: Mapping[str, tuple[str, tuple[int, int, int]]] = {
    "right_lung": ("RIGHT_LUNG", (0x3F, 0xD0, 0xFF)),
    "left_lung": ("LEFT_LUNG", (0xFF, 0xD2, 0x4A)),
    "heart": ("HEART", (0xFF, 0x9B, 0xE0)),
    "ground_glass_opacity": ("GROUND_GLASS", (0x9D, 0xFF, 0x6B)),
    "consolidation": ("CONSOLIDATION", (0xFF, 0x9D, 0x3C)),
    "words": ("WORDS", (0xFF, 0xBF, 0x3D)),
}
_SIDELESS: Mapping[str, str] = {"right_lung": "ONE_LUNG", "left_lung": "OTHER_LUNG"}
_WORDS_PLACE = (0.01, 0.01, 0.7, 0.12)
"""Left, top, right, bottom of the words, as shares of what is displayed."""


def make(case: Case) -> Dataset:
    """The presentation state of a result that has believed outlines."""
    content = Content(case.report)
    assert content.segmentation is not None  # noqa: S101 (as ``kinds`` says)
    frame, cleaned = Frame.of(content.segmentation), header.clean(case.source)
    header.check_size(cleaned, frame.stored_shape)
    cleaned.SamplesPerPixel = 1
    layers = {name: _layer(name, order, content) for order, name in enumerate(_LAYERS, 1)}
    annotations = list(_annotations(case, frame, cleaned, layers))
    used = {annotation.GraphicLayer for annotation in annotations}
    state = GrayscaleSoftcopyPresentationState(
        referenced_images=[cleaned],
        content_label="CHEST_EDGE",
        content_description=equipment.NOTICE,
        content_creator_name=f"{equipment.MAKER}^",
        graphic_annotations=annotations,
        graphic_layers=[layer for layer in layers.values() if layer.GraphicLayer in used],
        presentation_lut_transformation=_presentation_lut(case),
        **greys.transformations(case.source),
        **equipment.identity(case, Kind.PRESENTATION_STATE),
    )
    state.BodyPartExamined = "CHEST"
    _turn(state, frame)
    return equipment.dated(state, case, cleaned)


def _layer(name: str, order: int, content: Content) -> GraphicLayer:
    label, colour = _LAYERS[name]
    if not content.knows_sides:
        label = _SIDELESS.get(name, label)
    return GraphicLayer(label, order=order, display_color=CIELabColor.from_rgb(*colour))


def _annotations(
    case: Case, frame: Frame, cleaned: Dataset, layers: Mapping[str, GraphicLayer]
) -> Iterator[GraphicAnnotation]:
    content, language = Content(case.report), speaking(case.language)
    contours = content.segmentation["contours"] if content.segmentation else {}
    for organ, lines in contours.items():
        if lines:
            objects = [_line(closed(frame.stored(line))) for line in lines]
            yield GraphicAnnotation([cleaned], layers[organ], graphic_objects=objects)
    for number, finding in enumerate(content.findings, 1):
        yield _marked(number, finding, frame, cleaned, layers[finding["code"]])
    text = TextObject(_words(content, language), "DISPLAY", bounding_box=_WORDS_PLACE, text_justification="LEFT")
    yield GraphicAnnotation([cleaned], layers["words"], text_objects=[text])


def _marked(
    number: int, finding: Mapping[str, Any], frame: Frame, cleaned: Dataset, layer: GraphicLayer
) -> GraphicAnnotation:
    row0, column0, row1, column1 = finding["box_px"]
    corners = ((row0, column0), (row0, column1), (row1, column1), (row1, column0))
    box = frame.stored(corners, offset=0)
    place = (float(box[0, 0]), float(box[0, 1]))
    return GraphicAnnotation(
        [cleaned],
        layer,
        graphic_objects=[_line(closed(frame.stored(finding["contour"]))), _line(closed(box))],
        text_objects=[TextObject(str(number), "PIXEL", anchor_point=place, anchor_point_visible=False)],
    )


def _line(points: Points) -> GraphicObject:
    return GraphicObject("POLYLINE", np.asarray(points, np.float32), "PIXEL")


def _words(content: Content, language: Language) -> str:
    return f"{words.notice(language)}\r\n{language.text(content.verdict.text)}"


def _presentation_lut(case: Case) -> PresentationLUTTransformation:
    """Bone bright, whatever the header says of the greys and whether it was right."""
    was_inverted = any(remark["code"] == "inverted" for remark in case.report["quality"])
    is_inverse = greys.is_dark_bone(case.source) != was_inverted
    return PresentationLUTTransformation(presentation_lut_shape="INVERSE" if is_inverse else "IDENTITY")


def _turn(state: Dataset, frame: Frame) -> None:
    """Spatial Transformation (C.10.6), and the corners of the displayed area after it (C.10.4)."""
    state.ImageRotation, state.ImageHorizontalFlip = frame.turned_deg, "N"
    first, last = frame.stored(((0, 0), (frame.height - 1, frame.width - 1))) + 0.5
    area = state.DisplayedAreaSelectionSequence[0]
    area.DisplayedAreaTopLeftHandCorner = [round(float(value)) for value in first]
    area.DisplayedAreaBottomRightHandCorner = [round(float(value)) for value in last]
