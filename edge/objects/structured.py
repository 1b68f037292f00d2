"""The result in numbers and codes: a Measurement Report (TID 1500) in a Comprehensive SR (PS3.3 section A.35.3).

Its texts are in English and its concepts coded, so that programs read it. Regions are in the
coordinates of the stored image; a CT has none, see ``edge.objects.tomography.structured``. Rejected:
Chest CAD SR (TID 4100), which few systems take in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from highdicom.sr import (
    ComprehensiveSR,
    ContainerContentItem,
    ContentSequence,
    CoordinatesForMeasurement,
    DeviceObserverIdentifyingAttributes,
    ImageRegion,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TextContentItem,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dicom
from pydicom.sr.coding import Code

from edge import wording
from edge.language import speaking
from edge.objects import codes, equipment, header, words
from edge.objects.content import Content
from edge.objects.geometry import Frame, Line, closed
from edge.objects.groups import Group, Groups, number
from edge.objects.tomography import measures
from edge.objects.tomography import structured as tomography
from edge.types import Kind

if TYPE_CHECKING:
    from edge.objects.case import Case

_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")


def make(case: Case) -> Dataset:
    """The structured report of a result."""
    cleaned, content = header.clean(case.source), Content(case.report)
    if content.is_tomography:
        made = tomography.Groups(case, cleaned)
        groups, evidence = list(made.all()), made.evidence
    else:
        groups, evidence = list(_Groups(case, cleaned).all()), [cleaned]
    report = MeasurementReport(
        observation_context=_observer(case),
        procedure_reported=_procedure(content),
        imaging_measurements=groups,
        title=dicom.cid7021.ImagingMeasurementReport,
    )
    *before, measurements = report[0].ContentSequence
    report[0].ContentSequence = ContentSequence([*before, *_summary(case), measurements, _evaluations(case)])
    document = ComprehensiveSR(
        evidence=evidence,
        content=report,
        is_complete=True,
        coding_schemes=codes.schemes(),
        **equipment.identity(case, Kind.STRUCTURED_REPORT),
    )
    return equipment.dated(document, case, cleaned)


def _procedure(content: Content) -> Code:
    if content.is_tomography:
        return codes.CHEST_CT if content.is_chest else codes.CT
    return codes.CHEST_RADIOGRAPH if content.is_chest else codes.RADIOGRAPH


def _observer(case: Case) -> ObservationContext:
    device = DeviceObserverIdentifyingAttributes(
        uid=equipment.uid("device", case.box_id),
        name=equipment.MAKER,
        manufacturer_name=equipment.MAKER,
        model_name=equipment.MAKER,
        serial_number=case.box_id,
    )
    return ObservationContext(
        observer_device_context=ObserverContext(observer_type=dicom.DCM.Device, observer_identifying_attributes=device)
    )


def _summary(case: Case) -> list[TextContentItem]:
    """What a person has to read, before all numbers; the template may be extended so."""
    content, english = Content(case.report), speaking("en")
    lines = [content.verdict.text, *words.measured(content, english)]
    lines += measures.lung_volumes(content, english) if content.is_tomography else ()
    lines += [
        f"Finding {count}: {words.finding(content, found, english)}" for count, found in enumerate(content.findings, 1)
    ]
    return [
        _text(dicom.DCM.Comment, words.notice(english)),
        *(_text(dicom.DCM.Summary, line.rstrip(".") + ".") for line in lines),
        _text(dicom.DCM.Comment, wording.limits(case.report.get("modality"))[-1]),
    ]


def _evaluations(case: Case) -> ContainerContentItem:
    """What was noticed about the image, and which models took part."""
    content, english = Content(case.report), speaking("en")
    items = [_text(dicom.DCM.ImageQuality, f"{english.say(r)} ({r['code']})") for r in content.remarks]
    items += [_text(dicom.DCM.AlgorithmName, _model(name, model)) for name, model in content.models.items()]
    container = ContainerContentItem(name=_EVALUATIONS, relationship_type="CONTAINS")
    container.ContentSequence = ContentSequence(items)
    return container


def _text(name: Code, value: str) -> TextContentItem:
    return TextContentItem(name=name, value=value, relationship_type="CONTAINS")


def _model(name: str, model: Mapping[str, Any]) -> str:
    return (
        f"{name}, version {model['model_version']}, {model['model_precision']}, SHA-256 {model['model_sha256']},"
        f" for {', '.join(model['stages'])}"
    )


class _Groups(Groups):
    """The groups of a radiograph, some with regions on its pixels."""

    def __init__(self, case: Case, cleaned: Dataset) -> None:
        self._image = (cleaned.SOPClassUID, cleaned.SOPInstanceUID)
        super().__init__(case, [SourceImageForMeasurementGroup(*self._image)])
        self._frame = Frame.of(self.content.segmentation) if self.content.segmentation else None

    def all(self) -> Iterator[Group]:
        """Every group: the decision, those with a region, and the others."""
        yield self.decision()
        yield from self._lungs()
        yield from self._findings()
        yield from self._heart()
        yield from self.severity()
        yield from self.classes()

    def _lungs(self) -> Iterator[Group]:
        shares = (self.content.detection or {}).get("percent", {})
        for lung, contours in self.content.lungs.items():
            measured = [number(codes.OPAQUE, shares[lung], codes.PERCENT)] if lung in shares else []
            yield PlanarROIMeasurementsAndQualitativeEvaluations(
                referenced_region=self._region(max(contours, key=len)),
                finding_type=codes.LUNG,
                finding_category=dicom.SCT.AnatomicalStructure,
                finding_sites=[self.site(codes.LUNG, lung)],
                measurements=measured,
                **self.named(words.lung(self.content, lung), "segmentation"),
            )

    def _findings(self) -> Iterator[Group]:
        for count, finding in enumerate(self.content.findings, 1):
            yield PlanarROIMeasurementsAndQualitativeEvaluations(
                referenced_region=self._region(finding["contour"]),
                finding_type=codes.FINDINGS[finding["code"]],
                finding_category=dicom.SCT.MorphologicallyAbnormalStructure,
                finding_sites=[self.zone(finding["zone"])],
                measurements=[
                    number(codes.CERTAINTY, 100 * finding["confidence"], codes.PERCENT),
                    number(codes.FINDING_SHARE, finding["lung_percent"], codes.PERCENT),
                ],
                **self.named(f"Finding {count}", "detection"),
            )

    def _heart(self) -> Iterator[Group]:
        measured = self.content.cardiothoracic
        if not measured:
            return
        lines = [self._coordinates(measured[name]) for name in ("heart_line", "thorax_line")]
        ratio = Measurement(
            name=codes.CARDIOTHORACIC_RATIO,
            value=measured["ratio"],
            unit=codes.RATIO,
            referenced_coordinates=lines,
        )
        yield self.group("Cardiothoracic ratio", "segmentation", finding_type=codes.HEART, measurements=[ratio])

    def scores(self, severity: Mapping[str, Any]) -> Iterator[Measurement]:
        """Scores of the whole and of each zone."""
        yield number(codes.EXTENT, severity["extent"], codes.score_unit(8))
        yield number(codes.DEGREE, severity["opacity"], codes.score_unit(6))
        yield number(codes.BRIXIA, severity["brixia"], codes.score_unit(18))
        yield number(codes.OPAQUE_BOTH, severity["percent"], codes.PERCENT)
        for zone, score in severity["zones"].items():
            yield number(codes.BRIXIA_ZONE, score, codes.score_unit(3), finding_sites=[self.zone(zone)])

    def _region(self, line: Line) -> ImageRegion:
        return ImageRegion("POLYLINE", closed(self._stored(line)), SourceImageForRegion(*self._image))

    def _coordinates(self, line: Line) -> CoordinatesForMeasurement:
        return CoordinatesForMeasurement("POLYLINE", self._stored(line), SourceImageForRegion(*self._image))

    def _stored(self, line: Line) -> Any:
        assert self._frame is not None  # noqa: S101 (there is no line without outlines)
        return self._frame.stored(line)
