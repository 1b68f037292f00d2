"""What the box says about a study, on the page and on paper: one shape, one colour, one sentence for each case.

The sentence is chosen here and nowhere else, so that the worklist, the result page and the
printed report can never disagree. Rejected: wording in the templates, where no test would reach it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any

from edge.types import N_, Decision, State


class Kind(str, Enum):
    """The case of a study; the shape and the colour hang on it.

    Circle, triangle, diamond, square, octagon and ring, in this order.
    """

    NORMAL = "normal"
    ABNORMAL = "abnormal"
    REFER = "refer"
    NO_RESULT = "no-result"
    FAILED = "failed"
    READING = "reading"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grading:
    """A grade of severity in one word and in a sentence, not yet translated."""

    name: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A case and the sentence for it, not yet translated."""

    kind: Kind
    text: str


CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "normal": N_("Normal"),
        "bacterial": N_("Bacterial pneumonia"),
        "viral": N_("Viral pneumonia"),
        "covid19": N_("COVID-19 pneumonia"),
        "other_pneumonia": N_("Other pneumonia"),
        "tuberculosis": N_("Tuberculosis"),
        "other": N_("Other finding"),
    }
)
_CT_CLASSES: Mapping[str, str] = MappingProxyType(
    {"covid19": N_("COVID-19 pattern"), "not_covid19": N_("Another pattern than that of COVID-19")}
)
GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "adult": N_("Read as an adult"),
        "child": N_("Read as a child"),
        "unknown": N_("Age unknown"),
    }
)
STAGES: Mapping[str, str] = MappingProxyType(
    {
        "quality": N_("Image check"),
        "segmentation": N_("Lung fields"),
        "positioning": N_("Positioning"),
        "registration": N_("Alignment"),
        "detection": N_("Opacities"),
        "classification": N_("Classification"),
        "severity": N_("Severity"),
    }
)
STEPS: Mapping[str, str] = MappingProxyType(
    {**STAGES, "decoding": N_("Decoding"), "assembling": N_("Putting the slices together"), "storing": N_("Storing")}
)
"""Whatever takes its time in a reading."""
STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "ok": N_("Done"),
        "skipped": N_("Skipped"),
        "failed": N_("Failed"),
    }
)
SEVERITIES: Mapping[str, str] = MappingProxyType(
    {
        "stop": N_("Stop"),
        "warn": N_("Warning"),
        "info": N_("Note"),
    }
)
SEXES: Mapping[str, str] = MappingProxyType(
    {
        "F": N_("Female"),
        "M": N_("Male"),
        "O": N_("Other"),
    }
)
GRADES: Mapping[str, Grading] = MappingProxyType(
    {
        "none": Grading(name=N_("None"), meaning=N_("No opacity of note was measured in the lungs.")),
        "mild": Grading(name=N_("Mild"), meaning=N_("A small part of the lungs is opaque.")),
        "moderate": Grading(name=N_("Moderate"), meaning=N_("A considerable part of the lungs is opaque.")),
        "severe": Grading(name=N_("Severe"), meaning=N_("Large parts of the lungs are opaque.")),
    }
)
CHANGES: Mapping[str, str] = MappingProxyType(
    {
        "better": N_("Better than before"),
        "same": N_("Same as before"),
        "worse": N_("Worse than before"),
    }
)
_NOT_COMPARED = N_("Not compared as a whole: the two scans do not lie alike, or one does not show the whole lungs")
ZONES: Mapping[str, str] = MappingProxyType(
    {
        "right_upper": N_("Right upper zone"),
        "right_middle": N_("Right middle zone"),
        "right_lower": N_("Right lower zone"),
        "left_upper": N_("Left upper zone"),
        "left_middle": N_("Left middle zone"),
        "left_lower": N_("Left lower zone"),
    }
)
_SIDELESS_ZONES: Mapping[str, str] = MappingProxyType(
    {"upper": N_("Upper zone"), "middle": N_("Middle zone"), "lower": N_("Lower zone")}
)
FINDINGS: Mapping[str, str] = MappingProxyType(
    {
        "ground_glass_opacity": N_("Ground glass"),
        "consolidation": N_("Consolidation"),
    }
)
DISK: Mapping[str, str] = MappingProxyType(
    {
        "ok": "",
        "warning": N_(
            "The box is nearly full. It deletes by itself, oldest first, what somebody has opened and the PACS has; "
            "without a PACS, what was last opened long enough ago (setting storage.keep_days). "
            "Call whoever looks after the box."
        ),
        "full": N_(
            "The box is full and takes no more images. Keep new images at the X-ray unit, and call whoever looks after "
            "the box. What it has stays, and can be read."
        ),
    }
)
RESEARCH, UNVERIFIED = N_("Research use, not a medical device"), N_("AI result, not verified")
"""What stands in every object and on every paper that leaves the box."""
KILOBYTES, MEGABYTES = N_("%(size)s kB"), N_("%(size)s MB")
CANNOT_STORE: Mapping[str, str] = MappingProxyType(
    {
        "forbidden": N_(
            "The box cannot store images: it may not write to its own folders. Keep new images at the X-ray unit, and "
            "call whoever looks after the box: chest-edge doctor tells which folder."
        ),
        "read_only": N_(
            "The box cannot store images: its disk is read-only. Keep new images at the X-ray unit, and call whoever "
            "looks after the box."
        ),
        "write_failed": N_(
            "The box cannot store images: its disk cannot be written. Keep new images at the X-ray unit, and call "
            "whoever looks after the box."
        ),
        "disk_full": DISK["full"],
    }
)
"""By the code of the StorageError."""
REBUILT = N_(
    "The list of studies was damaged, and was made anew from the stored images. All of them are read again. "
    "Ages that were entered here have to be entered again. No archive gets these results a second time, and one that "
    "had not got them yet gets none."
)
NO_ROOM = N_("Waits for room on the disk for an image. It is read as soon as there is enough.")
WAYS: Mapping[str, str] = MappingProxyType(
    {
        "": N_("Sender unknown"),
        "folder": N_("From the folder"),
        "stick": N_("From a USB stick"),
        "program": N_("From a program on this box"),
    }
)
DELETED: Mapping[str, str] = MappingProxyType(
    {
        "delivered": N_("The PACS has it"),
        "viewed": N_("Seen long enough ago"),
    }
)
LIMITS = (
    N_("The box looks for pneumonia and tuberculosis only. Other diseases, such as masses, may be called pneumonia."),
    N_("A mirrored image is not always noticed, and the warning of one may be wrong. Check the side marker."),
    N_("“No pneumonia seen” does not mean that the patient is healthy."),
    N_("The percentages are estimates by a program. They are not a diagnosis."),
    N_("In hospitals that it has not seen, the box hardly tells COVID-19 from other pneumonia better than chance."),
    N_("In a hospital whose images it has not learnt from, the box may call normal lungs ill."),
    N_("In adults the box cannot tell bacterial from viral pneumonia: its examples of them were all children."),
    N_("Severity was learnt from images of COVID-19. In other diseases it may be wrong."),
    N_("A doctor decides, with the patient, the history and the whole image."),
)
CT = "CT"
"""The modality (PS3.3 section C.7.3.1.1.1) of which the box measures opacities, and suspects nothing."""
_CT_LIMITS = (
    N_(
        "The box measures how dense the lungs are. It does not know why: pneumonia, water in the lungs, collapsed "
        "lung, scars and a scan at breathing out can all look the same."
    ),
    N_(
        "It looks at the lungs only. Nodules, clots in vessels, air or fluid around the lungs, lymph nodes and bones "
        "are not looked for."
    ),
    N_(
        "Dense lung on the diaphragm can be taken for the diaphragm and is then not measured. The box refers where the "
        "bases of the lungs look unusual, but cannot notice all of it."
    ),
    N_("“No opacity above that of normal lungs” does not mean that the patient is healthy."),
    N_(
        "What it knows of the outline of lungs was not drawn by radiologists. Check the overlay before you trust a "
        "volume."
    ),
    N_(
        "The numbers change with the kernel, the thickness of the slices, contrast agent and the depth of breath. "
        "Compare only what was scanned alike."
    ),
    N_("The pictures here are smaller copies with two fixed windows, for a look only. Read the CT on a workstation."),
    LIMITS[-1],
)

_ONE_ZONE_PERCENT = 34
_PNEUMONIA = frozenset({"bacterial", "viral", "covid19", "other_pneumonia"})
_PNEUMONIA_SUSPECTED = N_("Pneumonia suspected")
_SUSPICIONS: Mapping[str, str] = MappingProxyType(
    {
        "tuberculosis": N_("Tuberculosis suspected"),
        "other": N_("Other finding suspected"),
    }
)
_ABNORMALITY_SUSPECTED = N_("Abnormality suspected")
_BY_STATE: Mapping[State, Verdict] = MappingProxyType(
    {
        State.NO_RESULT: Verdict(kind=Kind.NO_RESULT, text=N_("No result")),
        State.FAILED: Verdict(kind=Kind.FAILED, text=N_("Reading failed")),
        State.QUARANTINED: Verdict(kind=Kind.FAILED, text=N_("Cannot be read")),
    }
)
_READING = Verdict(kind=Kind.READING, text=N_("Reading…"))
WAITING = Verdict(kind=Kind.NO_RESULT, text=N_("Not read yet"))
_NORMAL = Verdict(kind=Kind.NORMAL, text=N_("No pneumonia seen"))
_REFER = Verdict(kind=Kind.REFER, text=N_("No claim: a doctor must read it"))
_CT_NORMAL = Verdict(kind=Kind.NORMAL, text=N_("No opacity above that of normal lungs measured"))
_CT_ABNORMAL = Verdict(kind=Kind.ABNORMAL, text=N_("Opacities measured in the lungs"))


def verdict(
    state: State,
    decision: str | None,
    probabilities: Mapping[str, float | None] | None,
    modality: str | None = None,
) -> Verdict:
    """Case and sentence of a study.

    A finished study without a decision that is known here is referred: the page never
    guesses in favour of "nothing seen". Of a CT it says what was measured, and never that it is normal.
    """
    if state is not State.DONE:
        return _BY_STATE.get(state, _READING)
    if decision == Decision.NORMAL.value:
        return _CT_NORMAL if modality == CT else _NORMAL
    if decision == Decision.ABNORMAL.value:
        return _CT_ABNORMAL if modality == CT else Verdict(kind=Kind.ABNORMAL, text=suspicion(probabilities or {}))
    return _REFER


def classes(modality: str | None) -> Mapping[str, str]:
    """The names of what the classifier tells apart, not yet translated."""
    return _CT_CLASSES if modality == CT else CLASSES


def limits(modality: str | None) -> tuple[str, ...]:
    """What a result cannot tell, not yet translated; the last sentence says who decides."""
    return _CT_LIMITS if modality == CT else LIMITS


def changed(verdict: str | None) -> str:
    """What became of a patient since the earlier study; without a verdict, why there is none."""
    return CHANGES.get(verdict, verdict) if verdict else _NOT_COMPARED


def suspicion(probabilities: Mapping[str, float | None]) -> str:
    """What is suspected: the likeliest finding, the kinds of pneumonia counted together."""
    findings: dict[str, float] = {}
    for name, probability in probabilities.items():
        if name == "normal" or probability is None:
            continue
        text = _PNEUMONIA_SUSPECTED if name in _PNEUMONIA else _SUSPICIONS.get(name, _ABNORMALITY_SUSPECTED)
        findings[text] = findings.get(text, 0.0) + probability
    return max(findings, key=lambda text: findings[text]) if findings else _ABNORMALITY_SUSPECTED


def place(finding: Mapping[str, Any], *, knows_sides: bool = True) -> str:
    """Where a finding lies: its zone, or the lung of which it fills more than a zone."""
    if not knows_sides:
        is_large = finding["lung_percent"] > _ONE_ZONE_PERCENT
        return N_("Lung") if is_large else _SIDELESS_ZONES[finding["zone"].split("_")[1]]
    if finding["lung_percent"] > _ONE_ZONE_PERCENT:
        return N_("Right lung") if finding["laterality"] == "right" else N_("Left lung")
    return ZONES.get(finding["zone"], finding["zone"])


def printable(text: str) -> str:
    """A text of a DICOM header without control characters, and otherwise as it is."""
    return "".join(letter for letter in text if letter.isprintable())


def person(name: str) -> str:
    """A DICOM person name as people write it (PS3.5, section 6.2.1, value representation PN).

    ``Adams^John Robert^Quincy`` becomes ``Adams, John Robert Quincy``; the ideographic
    group follows the alphabetic one. Control characters are left out.
    """
    groups = (_group(group) for group in printable(name).split("=")[:2])
    return " · ".join(group for group in groups if group)


def _group(group: str) -> str:
    family, *rest = (" ".join(part.split()) for part in group.split("^"))
    given = " ".join(part for part in rest if part)
    return ", ".join(part for part in (family, given) if part)
