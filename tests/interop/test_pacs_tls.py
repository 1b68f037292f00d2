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
from tests.interop.test_pacs import LIMITS, fetched, spool_of, with_pacs
from tests.support import inputs
from tests.support.box import eventually, running
from tests.support.pacs import Orthanc, orthanc

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


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
    settings = replace(box, dicom=replace(box.dicom, tls=True))
    with running("receiver", settings):
        eventually((box.run_dir / "receiver.port").exists)
        yield settings


@pytest.fixture
def peer(tmp_path: Path, secure: Settings) -> Iterator[Orthanc]:
    with orthanc(tmp_path, secure.dicom.port, **options(secure, tmp_path / "issued")) as running_orthanc:
        yield running_orthanc


def test_orthanc_and_the_box_echo_send_query_get_and_move_over_tls(
    peer: Orthanc, secure: Settings, read: Callable[[], None]
) -> None:
    assert peer.echoes_box()
    sent, asked, moved = inputs.dx(), inputs.dx(), inputs.dx()
    answer = peer.send_to_box(peer.upload(sent))
    assert (answer["FailedInstancesCount"], answer["InstancesCount"]) == (0, 1)
    peer.upload(asked, moved)
    settings = with_pacs(secure, peer.port, tls=True)
    pacs = Peer(settings, settings.pacs)
    assert len(query.find_studies(pacs, PatientID="PHANTOM-1")) == 3
    assert fetched(settings, asked.StudyInstanceUID) == 1
    assert query._move(pacs, query.Asked(study_instance_uid=moved.StudyInstanceUID, most=5), LIMITS) == 1
    read()
    assert [row.state for row in worklist(secure.database, 10)] == [State.DONE] * 3


def test_without_tls_or_with_another_authority_nothing_is_exchanged(
    peer: Orthanc, secure: Settings, tmp_path: Path
) -> None:
    plain = with_pacs(secure, peer.port)
    stranger = replace(with_pacs(secure, peer.port, tls=True), data_dir=tmp_path / "stranger")
    with spool_of(secure) as spool:
        for settings in (plain, stranger):
            with pytest.raises(PeerError, match="unreachable"):
                query.fetch(
                    Peer(settings, settings.pacs), query.Asked(study_instance_uid="1.2.3", most=1), spool, LIMITS
                )
