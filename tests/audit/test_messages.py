"""Audit messages by the schema of DICOM PS3.15 section A.5.1."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from edge.audit.messages import _FORMS, Writer
from edge.config import DicomSettings, Settings
from edge.store.journal import Action, Entry

KEY = "0123456789abcdef" * 2
SETTINGS = Settings(dicom=DicomSettings(calling_ae_titles=("CT1",)))
# Attributes of each element by the schema: those that must be there, and those that may.
CODED = ({"csd-code", "codeSystemName", "originalText"}, {"displayName"})
SCHEMA: dict[str, tuple[set[str], set[str]]] = {
    "AuditMessage": (set(), set()),
    "EventIdentification": ({"EventDateTime", "EventOutcomeIndicator"}, {"EventActionCode"}),
    "EventID": CODED,
    "EventTypeCode": CODED,
    "EventOutcomeDescription": (set(), set()),
    "ActiveParticipant": (
        {"UserID", "UserIsRequestor"},
        {"AlternativeUserID", "UserName", "NetworkAccessPointID", "NetworkAccessPointTypeCode"},
    ),
    "RoleIDCode": CODED,
    "AuditSourceIdentification": ({"AuditSourceID"}, {"AuditEnterpriseSiteID"}),
    "AuditSourceTypeCode": ({"csd-code"}, {"codeSystemName", "displayName", "originalText"}),
    "ParticipantObjectIdentification": (
        {"ParticipantObjectID"},
        {"ParticipantObjectTypeCode", "ParticipantObjectTypeCodeRole", "ParticipantObjectDataLifeCycle"},
    ),
    "ParticipantObjectIDTypeCode": CODED,
    "ParticipantObjectName": (set(), set()),
}


def message(action: Action, *, trusted: bool = True, key: bytes = bytes(32), **fields: str | int) -> ET.Element:
    entry = Entry(
        journal_id=1, happened_at="2026-11-24T17:00:00.000+00:00", clock_trusted=trusted, action=action, fields=fields
    )
    text = Writer(SETTINGS, key).message(entry)
    assert "\n" not in text
    return ET.fromstring(text)  # noqa: S314


def test_every_action_has_its_message() -> None:
    assert set(_FORMS) == set(Action)


@pytest.mark.parametrize("action", Action)
def test_a_record_takes_as_much_room_as_the_readme_says(action: Action) -> None:
    """Audit files are never deleted, so that what a record takes decides how long a disk lasts."""
    fields: dict[str, str | int] = {"study_key": KEY, "ae_title": "X-RAY", "host": "192.168.100.100", "count": 3}
    beside_the_message = 2 * 64 + 12  # two hashes and a number
    text = ET.tostring(message(action, **fields), encoding="unicode")
    assert len(text) + beside_the_message < 1500


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("fields", [{}, {"study_key": KEY, "ae_title": "X", "host": "10.0.0.9", "count": 3}])
def test_messages_follow_the_schema(action: Action, fields: dict[str, str | int]) -> None:
    root = message(action, **fields)
    for element in root.iter():
        must, may = SCHEMA[element.tag]
        assert must <= set(element.keys()) <= must | may, element.tag
    order = [element.tag for element in root]
    participants = order.count("ActiveParticipant")
    assert participants == (2 if fields else 1)
    assert order == [
        "EventIdentification",
        *["ActiveParticipant"] * participants,
        "AuditSourceIdentification",
        "ParticipantObjectIdentification",
    ]
    assert any(participant.get("UserIsRequestor") == "true" for participant in root.iter("ActiveParticipant"))


@pytest.mark.parametrize(
    ("action", "code", "kind"),
    [
        (Action.BOX_STARTED, "110100", "110120"),
        (Action.BOX_STOPPED, "110100", "110121"),
        (Action.INSTANCES_STORED, "110104", None),
        (Action.STUDY_VIEWED, "110103", None),
        (Action.STUDY_DELETED, "110105", None),
        (Action.EXPORTED, "110106", None),
        (Action.IMPORTED, "110107", None),
        (Action.QUERIED, "110112", None),
        (Action.ASSOCIATION_REJECTED, "110113", "110126"),
    ],
)
def test_events_have_their_codes(action: Action, code: str, kind: str | None) -> None:
    root = message(action)
    assert [element.get("csd-code") for element in root.iter("EventID")] == [code]
    assert [element.get("csd-code") for element in root.iter("EventTypeCode")] == ([kind] if kind else [])


def test_a_known_title_is_told_and_a_strangers_is_hashed() -> None:
    known = [element.get("UserID") for element in message(Action.INSTANCES_STORED, ae_title="CT1").iter()]
    assert "CT1" in known
    first, again = (message(Action.INSTANCES_STORED, ae_title="DOE^JANE") for _ in range(2))
    other = message(Action.INSTANCES_STORED, ae_title="DOE^JANE", key=b"k" * 32)
    assert b"DOE" not in ET.tostring(first)
    assert ET.tostring(first) == ET.tostring(again) != ET.tostring(other)


def test_a_failure_and_a_doubtful_clock_are_told() -> None:
    event = message(Action.INSTANCES_STORED, trusted=False, outcome="failed", count=4).find("EventIdentification")
    assert event is not None and event.get("EventOutcomeIndicator") == "4"
    words = event.findtext("EventOutcomeDescription", "").split()
    assert {"count=4", "clock=untrusted"} <= set(words)
