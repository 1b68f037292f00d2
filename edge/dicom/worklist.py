"""The modality worklist: which scheduled step a study belongs to (PS3.4 annex K).

An X-ray unit without a worklist sends images without an accession number, and their result
then finds no request. The step is looked up by patient number and taken only where exactly one
request fits and its name and birth date agree: a wrong accession number files a result under
another request, so doubt is said on the page instead. Rejected: the nearest step in time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID

from edge.dicom.attributes import text
from edge.dicom.peer import Peer
from edge.dicom.query import identifier, patient_of
from edge.store.priors import name_of
from edge.store.pulls import RADIOGRAPHY

_FIND = UID("1.2.840.10008.5.1.4.31")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One scheduled procedure step. Texts are empty where the worklist gives none.

    Attributes
    ----------
    patient : ``patient_id``, ``patient_name``, ``birth_date`` and ``sex``.
    day : YYYYMMDD.
    stations : AE titles of the units that it is scheduled on, parted by backslashes.
    """

    accession_number: str
    patient: Mapping[str, Any]
    modality: str
    day: str
    stations: str


def find_steps(peer: Peer, patient_id: str) -> list[Step]:
    """The scheduled steps of a patient number.

    Raises
    ------
    PeerError
    """
    scheduled = Dataset()
    for keyword in ("Modality", "ScheduledProcedureStepStartDate", "ScheduledStationAETitle"):
        setattr(scheduled, keyword, "")
    wanted = dict.fromkeys(("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber"), "")
    query = identifier("", PatientID=patient_id, **wanted)
    query.ScheduledProcedureStepSequence = [scheduled]
    return [_step(match, step) for match in peer.find(_FIND, query) for step in _steps_of(match)]


def match(study: Mapping[str, Any], steps: Sequence[Step]) -> tuple[str, str]:
    """What the worklist says of a study: a code, and the accession number where it is ``matched``.

    Returns
    -------
    ``matched``, ``no_match``, ``ambiguous`` (several requests fit) or ``contradicting`` (one
    names another person under this patient number).
    """
    fitting = [step for step in steps if step.accession_number and _fits(study, step)]
    numbers = {step.accession_number for step in fitting}
    if not numbers:
        return "no_match", ""
    if any(_contradicts(study, step.patient) for step in fitting):
        return "contradicting", ""
    return ("matched", numbers.pop()) if len(numbers) == 1 else ("ambiguous", "")


def _steps_of(found: Dataset) -> Sequence[Dataset]:
    steps = found.get("ScheduledProcedureStepSequence")
    return list(steps) if steps else [Dataset()]


def _step(found: Dataset, step: Dataset) -> Step:
    return Step(
        accession_number=text(found, "AccessionNumber"),
        patient=patient_of(found),
        modality=text(step, "Modality"),
        day=text(step, "ScheduledProcedureStepStartDate"),
        stations=text(step, "ScheduledStationAETitle"),
    )


def _fits(study: Mapping[str, Any], step: Step) -> bool:
    day = (study["acquired_at"] or "")[:10].replace("-", "")
    own, other = ("CR" if modality in RADIOGRAPHY else modality for modality in (study["modality"], step.modality))
    station = study["calling_ae_title"]
    return (
        step.patient["patient_id"] == study["patient_id"]
        and _agree(own, other)
        and _agree(day, step.day)
        and (not (station and step.stations) or station in step.stations.split("\\"))
    )


def _contradicts(study: Mapping[str, Any], patient: Mapping[str, Any]) -> bool:
    names = name_of(study), name_of(patient)
    return not (_agree(*names) and _agree(study["birth_date"], patient["birth_date"]))


def _agree(one: str | None, other: str | None) -> bool:
    return not one or not other or one == other
