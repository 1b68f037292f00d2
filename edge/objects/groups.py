"""What the groups of measurements of every structured report share (TID 1410 and TID 1501)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from highdicom.sr import (
    AlgorithmIdentification,
    FindingSite,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom.sr.codedict import codes as dicom
from pydicom.sr.coding import Code

from edge.objects import codes, equipment
from edge.objects.content import Content

if TYPE_CHECKING:
    from edge.objects.case import Case

Group = MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations


class Groups:
    """Groups of measurements about one result.

    Parameters
    ----------
    images : the image that groups refer to which name no other one; none where there is no single one.
    """

    decisions: Mapping[str, Code] = codes.DECISIONS
    changes: Code = codes.CHANGE

    def __init__(self, case: Case, images: list[SourceImageForMeasurementGroup]) -> None:
        self.content = Content(case.report)
        self._parts = equipment.reading(case)
        self._images = images

    def decision(self) -> Group:
        """What the algorithm decided, as the verdict says."""
        decision = (self.content.decision or "refer") if self.content.is_chest else "no_result"
        evaluations = [QualitativeEvaluation(codes.DECISION, self.decisions[decision])]
        classified = self.content.report["classification"]
        if classified and "group" in classified:
            evaluations.append(QualitativeEvaluation(codes.AGE_GROUP, codes.AGE_GROUPS[classified["group"]]))
        return self.group(
            "Decision", "classification" if classified else "quality", qualitative_evaluations=evaluations
        )

    def severity(self) -> Iterator[Group]:
        """Grade, change and scores."""
        severity = self.content.severity
        if not severity:
            return
        evaluations = [QualitativeEvaluation(codes.SEVERITY, codes.GRADES[severity["grade"]])]
        if severity["change"] and severity["change"]["verdict"] in codes.CHANGES:
            evaluations.append(QualitativeEvaluation(self.changes, codes.CHANGES[severity["change"]["verdict"]]))
        yield self.group(
            "Severity",
            "severity",
            finding_type=codes.SEVERITY,
            measurements=list(self.scores(severity)),
            qualitative_evaluations=evaluations,
        )

    def scores(self, severity: Mapping[str, Any]) -> Iterator[Measurement]:
        """The numbers of the severity."""
        raise NotImplementedError

    def classes(self) -> Iterator[Group]:
        """A group for each class with its probability."""
        for name, probability in self.content.probabilities.items():
            yield self.group(
                f"Class {name}",
                "classification",
                finding_type=codes.CLASSES[name],
                measurements=[number(codes.CERTAINTY, 100 * probability, codes.PERCENT)],
            )

    def zone(self, zone: str) -> FindingSite:
        """A third of a lung."""
        return self.site(codes.THIRDS[zone.split("_")[1]], zone)

    def site(self, part: Code, sided: str) -> FindingSite:
        """A part of the body, with the side that its name in a result begins with where sides are certain."""
        return FindingSite(part, codes.SIDES[sided.split("_", maxsplit=1)[0]] if self.content.knows_sides else None)

    def group(self, name: str, stage: str, **content: Any) -> MeasurementsAndQualitativeEvaluations:
        """A group without a region; ``source_images`` takes the place of the one image."""
        images = content.pop("source_images", self._images)
        return MeasurementsAndQualitativeEvaluations(source_images=images or None, **self.named(name, stage), **content)

    def named(self, name: str, stage: str) -> dict[str, Any]:
        """The identifier of a group, and the model that its values come from."""
        model = self.content.model_of(stage)
        return {
            "tracking_identifier": TrackingIdentifier(equipment.uid("tracking", *self._parts, name), name),
            "algorithm_id": None if model is None else _algorithm(model),
        }


def _algorithm(stage: Mapping[str, Any]) -> AlgorithmIdentification:
    return AlgorithmIdentification(
        name=stage["model"],
        version=str(stage["model_version"]),
        parameters=[f"SHA-256 {stage['model_sha256']}", f"precision {stage['model_precision']}"],
        family=dicom.DCM.ArtificialIntelligence,
        manufacturer=equipment.MAKER,
    )


def number(name: Code, value: float, unit: Code, **more: Any) -> Measurement:
    """A measurement with at most four decimals."""
    return Measurement(name=name, value=round(value, 4), unit=unit, **more)
