"""The audit trail of a whole box: one message an association, a view, start and stop."""

from __future__ import annotations

import urllib.request
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

from edge.audit.chain import Record, files, records
from edge.audit.verify import verify
from edge.config import Settings
from edge.dicom import certificates
from tests.support.box import box_settings, eventually, served, storescu
from tests.support.inputs import dx, save


def _told(settings: Settings) -> list[str]:
    """What was said of each event."""
    found = (record.message for record in records(files(settings.audit_dir)) if isinstance(record, Record))
    return [ET.fromstring(message).findtext(".//EventOutcomeDescription", "") for message in found]  # noqa: S314


def test_a_box_tells_who_brought_and_saw_what(tmp_path: Path) -> None:
    settings = box_settings(tmp_path / "var")
    paths = [save(dx(), tmp_path / f"{number}.dcm") for number in range(5)]
    with served(settings) as box:
        assert storescu(box.receiver_port, paths) == 0
        assert storescu(box.receiver_port, paths[:1]) == 0  # a second copy brings nothing new
        eventually(lambda: len(box.rows()) == 5)
        key = box.rows()[0].study_key
        urllib.request.urlopen(f"{box.address}study/{key}").read()  # noqa: S310
        eventually(lambda: any("study_viewed" in words for words in _told(settings)))
        assert verify(settings).faults == []
        for _ in range(3):
            assert storescu(box.receiver_port, paths[:1], "-aec", "ANOTHER") != 0
        certificates.issue(settings, "XRAY-1", tmp_path / "stick")
        box.stop()
        assert "box_stopped" in _told(settings)
    # Summed up when the receiver ends, which may be after the last relay: the next start brings it to the files.
    with served(settings) as box:
        eventually(lambda: "association_rejected count=3 code=called_ae_title" in _told(settings))
    first = [words for words in _told(settings) if "rejected" not in words]
    assert Counter(first[: first.index("box_stopped") + 1]) == Counter(
        [
            "box_started",
            "instances_stored count=5",
            "instances_stored count=0",
            "study_viewed",
            "certificate_issued code=issued",
            "box_stopped",
        ]
    )
    assert verify(settings).faults == []
