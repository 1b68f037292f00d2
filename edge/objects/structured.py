"""The result in numbers and codes: a Measurement Report (TID 1500) in a Comprehensive SR (PS3.3 section A.35.3).

Its texts are in English and its concepts coded, so that programs read it. Regions are in the
coordinates of the stored image. Rejected: Chest CAD SR (TID 4100), which few systems take in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from highdicom.sr import (
    AlgorithmIdentification,
    ComprehensiveSR,
    ContainerContentItem,
    ContentSequence,
    CoordinatesForMeasurement,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    ImageRegion,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dicom
from pydicom.sr.coding import Code

from edge import wording
from edge.language import speaking
from edge.objects import codes, equipment, header, words
from edge.objects.content import Content
from edge.objects.geometry import Frame, Line, closed
from edge.types import Kind

if TYPE_CHECKING:
    from edge.objects.case import Case

_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
_Group = MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations


def make(case: Case) -> Dataset:
    """The structured report of a result."""
    cleaned = header.clean(case.source)
    report = MeasurementReport(
        observation_context=_observer(case),
        procedure_reported=codes.CHEST_RADIOGRAPH if Content(case.report).is_chest else codes.RADIOGRAPH,
        imaging_measurements=list(_Groups(case, cleaned).all()),
        title=dicom.cid7021.ImagingMeasurementReport,
    )
    *before, measurements = report[0].ContentSequence
    report[0].ContentSequence = ContentSequence([*before, *_summary(case), measurements, _evaluations(case)])
    document = ComprehensiveSR(
        evidence=[cleaned],
        content=report,
        is_complete=True,
        coding_schemes=codes.schemes(),
        **equipment.identity(case, Kind.STRUCTURED_REPORT),
    )
    return equipment.dated(document, case, cleaned)


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
    lines += [
        f"Finding {number}: {words.finding(content, found, english)}"
        for number, found in enumerate(content.findings, 1)
    ]
    return [
        _text(dicom.DCM.Comment, words.notice(english)),
        *(_text(dicom.DCM.Summary, line.rstrip(".") + ".") for line in lines),
        _text(dicom.DCM.Comment, wording.LIMITS[-1]),
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


class _Groups:
    """The groups of measurements of one report (TID 1410 and TID 1501)."""

    def __init__(self, case: Case, cleaned: Dataset) -> None:
        self._content = Content(case.report)
        self._parts = equipment.reading(case)
        self._image = (cleaned.SOPClassUID, cleaned.SOPInstanceUID)
        self._frame = Frame.of(self._content.segmentation) if self._content.segmentation else None

    def all(self) -> Iterator[_Group]:
        """Every group: the decision, those with a region, and the others."""
        yield self._decision()
        yield from self._lungs()
        yield from self._findings()
        yield from self._heart()
        yield from self._severity()
        yield from self._classes()

    def _decision(self) -> _Group:
        decision = (self._content.decision or "refer") if self._content.is_chest else "no_result"  # as the verdict says
        evaluations = [QualitativeEvaluation(codes.DECISION, codes.DECISIONS[decision])]
        if classified := self._content.report["classification"]:
            evaluations.append(QualitativeEvaluation(codes.AGE_GROUP, codes.AGE_GROUPS[classified["group"]]))
        return self._group(
            "Decision", "classification" if classified else "quality", qualitative_evaluations=evaluations
        )

    def _lungs(self) -> Iterator[_Group]:
        shares = (self._content.detection or {}).get("percent", {})
        for lung, contours in self._content.lungs.items():
            measured = [_number(codes.OPAQUE, shares[lung], codes.PERCENT)] if lung in shares else []
            yield PlanarROIMeasurementsAndQualitativeEvaluations(
                referenced_region=self._region(max(contours, key=len)),
                finding_type=codes.LUNG,
                finding_category=dicom.SCT.AnatomicalStructure,
                finding_sites=[self._site(codes.LUNG, lung)],
                measurements=measured,
                **self._named(words.lung(self._content, lung), "segmentation"),
            )

    def _findings(self) -> Iterator[_Group]:
        for number, finding in enumerate(self._content.findings, 1):
            yield PlanarROIMeasurementsAndQualitativeEvaluations(
                referenced_region=self._region(finding["contour"]),
                finding_type=codes.FINDINGS[finding["code"]],
                finding_category=dicom.SCT.MorphologicallyAbnormalStructure,
                finding_sites=[self._zone(finding["zone"])],
                measurements=[
                    _number(codes.CERTAINTY, 100 * finding["confidence"], codes.PERCENT),
                    _number(codes.FINDING_SHARE, finding["lung_percent"], codes.PERCENT),
                ],
                **self._named(f"Finding {number}", "detection"),
            )

    def _heart(self) -> Iterator[_Group]:
        measured = self._content.cardiothoracic
        if not measured:
            return
        lines = [self._coordinates(measured[name]) for name in ("heart_line", "thorax_line")]
        ratio = Measurement(
            name=codes.CARDIOTHORACIC_RATIO,
            value=measured["ratio"],
            unit=codes.RATIO,
            referenced_coordinates=lines,
        )
        yield self._group("Cardiothoracic ratio", "segmentation", finding_type=codes.HEART, measurements=[ratio])

    def _severity(self) -> Iterator[_Group]:
        severity = self._content.severity
        if not severity:
            return
        evaluations = [QualitativeEvaluation(codes.SEVERITY, codes.GRADES[severity["grade"]])]
        if severity["change"] and severity["change"]["verdict"] in codes.CHANGES:
            evaluations.append(QualitativeEvaluation(codes.CHANGE, codes.CHANGES[severity["change"]["verdict"]]))
        yield self._group(
            "Severity",
            "severity",
            finding_type=codes.SEVERITY,
            measurements=list(self._scores(severity)),
            qualitative_evaluations=evaluations,
        )

    def _scores(self, severity: Mapping[str, Any]) -> Iterator[Measurement]:
        yield _number(codes.EXTENT, severity["extent"], codes.score_unit(8))
        yield _number(codes.DEGREE, severity["opacity"], codes.score_unit(6))
        yield _number(codes.BRIXIA, severity["brixia"], codes.score_unit(18))
        yield _number(codes.OPAQUE_BOTH, severity["percent"], codes.PERCENT)
        for zone, score in severity["zones"].items():
            yield _number(codes.BRIXIA_ZONE, score, codes.score_unit(3), finding_sites=[self._zone(zone)])

    def _zone(self, zone: str) -> FindingSite:
        return self._site(codes.THIRDS[zone.split("_")[1]], zone)

    def _site(self, part: Code, sided: str) -> FindingSite:
        """A part of the body, with the side that its name in a result begins with where sides are certain."""
        return FindingSite(part, codes.SIDES[sided.split("_", maxsplit=1)[0]] if self._content.knows_sides else None)

    def _classes(self) -> Iterator[_Group]:
        for name, probability in self._content.probabilities.items():
            yield self._group(
                f"Class {name}",
                "classification",
                finding_type=codes.CLASSES[name],
                measurements=[_number(codes.CERTAINTY, 100 * probability, codes.PERCENT)],
            )

    def _group(self, name: str, stage: str, **content: Any) -> MeasurementsAndQualitativeEvaluations:
        return MeasurementsAndQualitativeEvaluations(
            source_images=[SourceImageForMeasurementGroup(*self._image)], **self._named(name, stage), **content
        )

    def _named(self, name: str, stage: str) -> dict[str, Any]:
        model = self._content.model_of(stage)
        return {
            "tracking_identifier": TrackingIdentifier(equipment.uid("tracking", *self._parts, name), name),
            "algorithm_id": None if model is None else _algorithm(model),
        }

    def _region(self, line: Line) -> ImageRegion:
        return ImageRegion("POLYLINE", closed(self._stored(line)), SourceImageForRegion(*self._image))

    def _coordinates(self, line: Line) -> CoordinatesForMeasurement:
        return CoordinatesForMeasurement("POLYLINE", self._stored(line), SourceImageForRegion(*self._image))

    def _stored(self, line: Line) -> Any:
        assert self._frame is not None  # noqa: S101 (there is no line without outlines)
        return self._frame.stored(line)


def _algorithm(stage: Mapping[str, Any]) -> AlgorithmIdentification:
    return AlgorithmIdentification(
        name=stage["model"],
        version=str(stage["model_version"]),
        parameters=[f"SHA-256 {stage['model_sha256']}", f"precision {stage['model_precision']}"],
        family=dicom.DCM.ArtificialIntelligence,
        manufacturer=equipment.MAKER,
    )


def _number(name: Code, value: float, unit: Code, **more: Any) -> Measurement:
    return Measurement(name=name, value=round(value, 4), unit=unit, **more)
