"""Audit messages of DICOM PS3.15 annex A.5, made from the notes of the journal.

The XML follows the schema of section A.5.1, the codes context groups 400, 401 and 402 of PS3.16.
A study appears under our own random key instead of its Study Instance UID, and patients appear
not at all: whoever may know them asks the box by the key. An AE title that is not among the
settings was chosen by a stranger and can hold a name; it appears as a keyed hash, equal for equal
titles. Rejected: the messages' optional patient, which would spread names with every copy.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from types import MappingProxyType
from xml.etree import ElementTree as ET

from edge import __version__
from edge.config import Settings
from edge.store.journal import Action, Entry, Outcome

_OUTCOMES = MappingProxyType({Outcome.OK: "0", Outcome.FAILED: "4", Outcome.SERIOUS: "8"})
_EVENTS = MappingProxyType(
    {
        "110100": "Application Activity",
        "110102": "Begin Transferring DICOM Instances",
        "110103": "DICOM Instances Accessed",
        "110104": "DICOM Instances Transferred",
        "110105": "DICOM Study Deleted",
        "110106": "Export",
        "110107": "Import",
        "110112": "Query",
        "110113": "Security Alert",
    }
)
_TYPES = MappingProxyType(
    {
        "110120": "Application Start",
        "110121": "Application Stop",
        "110126": "Node Authentication",
        "110129": "Security Configuration",
        "110130": "Hardware Configuration",
        "110131": "Software Configuration",
        "110137": "User security Attributes Changed",
    }
)
_APPLICATION, _LAUNCHER, _DESTINATION, _SOURCE = "110150", "110151", "110152", "110153"
_ROLES = MappingProxyType(
    {
        _APPLICATION: "Application",
        _LAUNCHER: "Application Launcher",
        _DESTINATION: "Destination Role ID",
        _SOURCE: "Source Role ID",
    }
)


@dataclass(frozen=True, slots=True)
class _Form:
    """How an action is told: event, what was done (C R U D E), type, and the parts of the box and of the other."""

    event: str
    done: str
    kind: str | None = None
    own_role: str = _APPLICATION
    other_role: str = _LAUNCHER


_FORMS: Mapping[Action, _Form] = MappingProxyType(
    {
        Action.BOX_STARTED: _Form("110100", "E", "110120"),
        Action.BOX_STOPPED: _Form("110100", "E", "110121"),
        Action.ASSOCIATION_REJECTED: _Form("110113", "E", "110126", _DESTINATION, _SOURCE),
        Action.INSTANCES_STORED: _Form("110104", "C", None, _DESTINATION, _SOURCE),
        Action.STUDY_VIEWED: _Form("110103", "R"),
        Action.AGE_STATED: _Form("110103", "U"),
        Action.STUDY_DELETED: _Form("110105", "D"),
        Action.EXPORTED: _Form("110106", "R", None, _SOURCE, _DESTINATION),
        Action.PRINTED: _Form("110106", "R", None, _SOURCE, _DESTINATION),
        Action.IMPORTED: _Form("110107", "C", None, _DESTINATION, _SOURCE),
        Action.QUERIED: _Form("110112", "E", None, _SOURCE, _DESTINATION),
        Action.PULL_BEGUN: _Form("110102", "E", None, _DESTINATION, _SOURCE),
        Action.PULLED: _Form("110104", "C", None, _DESTINATION, _SOURCE),
        Action.RESULT_SENT: _Form("110104", "C", None, _SOURCE, _DESTINATION),
        Action.CLOCK_SET: _Form("110113", "U", "110130"),
        Action.BACKUP_MADE: _Form("110106", "R", None, _SOURCE, _DESTINATION),
        Action.BACKUP_RESTORED: _Form("110107", "C", None, _DESTINATION, _SOURCE),
        Action.CERTIFICATE_ISSUED: _Form("110113", "U", "110137"),
        Action.STORE_REBUILT: _Form("110113", "E", "110131"),
        Action.SECURITY_ALERT: _Form("110113", "E", "110129"),
    }
)
_DETAILS = ("count", "code", "time_before", "time_after")


class Writer:
    """Writes the messages of one box.

    Parameters
    ----------
    key : secret of the hashes of strangers' AE titles, 32 bytes.
    """

    def __init__(self, settings: Settings, key: bytes) -> None:
        self._own_title = settings.dicom.ae_title
        self._key = key
        self._known = frozenset(
            {
                settings.dicom.ae_title,
                settings.pacs.ae_title,
                settings.worklist.ae_title,
                *(destination.ae_title for destination in settings.destination),
                *settings.dicom.calling_ae_titles,
                *settings.dicom.called_ae_titles,
            }
        )

    def message(self, entry: Entry) -> str:
        """One ``AuditMessage`` in a single line."""
        form = _FORMS[entry.action]
        root = ET.Element("AuditMessage")
        _event(root, entry, form)
        own = _participant(root, self._own_title, form.own_role, requestor="ae_title" not in entry.fields)
        own.set("UserName", "Chest Edge")
        if entry.fields.keys() & {"ae_title", "host"}:
            self._other(root, entry.fields, form)
        source = ET.SubElement(root, "AuditSourceIdentification", AuditSourceID=self._own_title)
        ET.SubElement(source, "AuditSourceTypeCode", {"csd-code": "4"})
        _object(root, entry)
        return ET.tostring(root, encoding="unicode")

    def title(self, ae_title: str) -> str:
        """An AE title as it may be told: itself where the settings name it, else its keyed hash."""
        if ae_title in self._known:
            return ae_title
        return "ae-" + hmac.digest(self._key, ae_title.encode(), "sha256").hex()[:16]

    def _other(self, root: ET.Element, fields: Mapping[str, str], form: _Form) -> None:
        title = fields.get("ae_title", "")
        other = _participant(root, self.title(title) if title else "unknown", form.other_role, requestor=True)
        if fields.get("host"):
            other.set("NetworkAccessPointID", fields["host"])
            other.set("NetworkAccessPointTypeCode", "2" if _is_address(fields["host"]) else "1")


def _event(root: ET.Element, entry: Entry, form: _Form) -> None:
    event = ET.SubElement(
        root,
        "EventIdentification",
        EventActionCode=form.done,
        EventDateTime=entry.happened_at,
        EventOutcomeIndicator=_OUTCOMES[Outcome(entry.fields.get("outcome", _usual(entry.action)))],
    )
    _coded(event, "EventID", form.event, _EVENTS[form.event])
    if form.kind is not None:
        _coded(event, "EventTypeCode", form.kind, _TYPES[form.kind])
    said = [entry.action.value, *(f"{name}={entry.fields[name]}" for name in _DETAILS if name in entry.fields)]
    if not entry.clock_trusted:
        said.append("clock=untrusted")
    ET.SubElement(event, "EventOutcomeDescription").text = " ".join(said)


def _usual(action: Action) -> Outcome:
    return Outcome.FAILED if action in (Action.ASSOCIATION_REJECTED, Action.SECURITY_ALERT) else Outcome.OK


def _participant(root: ET.Element, name: str, role: str, *, requestor: bool) -> ET.Element:
    found = ET.SubElement(root, "ActiveParticipant", UserID=name, UserIsRequestor=str(requestor).lower())
    _coded(found, "RoleIDCode", role, _ROLES[role])
    return found


def _object(root: ET.Element, entry: Entry) -> None:
    key = entry.fields.get("study_key")
    told = {"ParticipantObjectID": key or f"chest-edge {__version__}", "ParticipantObjectTypeCode": "2"}
    if key:
        told["ParticipantObjectTypeCodeRole"] = "3"
    found = ET.SubElement(root, "ParticipantObjectIdentification", told)
    kind = ("study_key", "Key of a study on this box") if key else ("software", "Version of the software")
    _coded(found, "ParticipantObjectIDTypeCode", *kind, scheme="99CHESTEDGE")
    ET.SubElement(found, "ParticipantObjectName").text = "study" if key else "box"


def _coded(parent: ET.Element, name: str, code: str, meaning: str, scheme: str = "DCM") -> None:
    ET.SubElement(parent, name, {"csd-code": code, "codeSystemName": scheme, "originalText": meaning})


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
