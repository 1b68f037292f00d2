"""Orthanc over TLS with certificates of the box's authority, in both directions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.config import Settings
from edge.dicom import certificates, query
from edge.dicom.peer import Peer
from edge.errors import PeerError
from edge.store.studies import worklist
from edge.types import State
from tests.interop.test_pacs import LIMITS, fetched, with_pacs
from tests.support import inputs
from tests.support.box import eventually, running
from tests.support.pacs import orthanc
from tests.support.studies import ready_box

Read = Callable[[], None]


def options(settings: Settings, folder: Path) -> dict[str, Any]:
    """What Orthanc needs, as the README says."""
    certificates.issue(settings, "orthanc", folder, server=True)
    return {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(folder / "orthanc.crt"),
        "DicomTlsPrivateKey": str(folder / "orthanc.key"),
        "DicomTlsTrustedCertificates": str(folder / "ca.crt"),
        "UseDicomTls": True,
    }


@pytest.fixture
def secure(box: Settings) -> Iterator[Settings]:
    """A box whose receiver takes TLS only."""
    settings = replace(box, dicom=replace(box.dicom, tls=True))
    with running("receiver", settings):
        eventually((box.run_dir / "receiver.port").exists)
        yield settings


def test_the_box_queries_and_gets_from_orthanc_over_tls(box: Settings, tmp_path: Path, read: Read) -> None:
    with orthanc(tmp_path, 1, **options(box, tmp_path / "issued")) as peer:
        dataset = inputs.dx()
        peer.upload(dataset)
        settings = with_pacs(box, peer.port, tls=True)
        assert len(query.find_studies(Peer(settings, settings.pacs), PatientID="PHANTOM-1")) == 1
        assert fetched(settings, dataset.StudyInstanceUID) == 1
        plain = with_pacs(box, peer.port)
        stranger = replace(settings, data_dir=ready_box(tmp_path / "stranger").data_dir)
        for refused in (plain, stranger):
            with pytest.raises(PeerError, match="unreachable"):
                fetched(refused, dataset.StudyInstanceUID)
    read()
    assert [row.state for row in worklist(box.database, 10)] == [State.DONE]


def test_orthanc_echoes_sends_and_moves_to_the_box_over_tls(secure: Settings, tmp_path: Path, read: Read) -> None:
    with orthanc(tmp_path, secure.dicom.port, **options(secure, tmp_path / "issued")) as peer:
        assert peer.echoes_box()
        sent, moved = inputs.dx(), inputs.dx()
        answer = peer.send_to_box(peer.upload(sent))
        assert (answer["FailedInstancesCount"], answer["InstancesCount"]) == (0, 1)
        peer.upload(moved)
        settings = with_pacs(secure, peer.port, tls=True)
        asked = query.Asked(study_instance_uid=moved.StudyInstanceUID, most=5)
        assert query._move(Peer(settings, settings.pacs), asked, LIMITS) == 1
    read()
    assert [row.state for row in worklist(secure.database, 10)] == [State.DONE] * 2
