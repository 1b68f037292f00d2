"""Debian's Orthanc and dcmtk's storescp get results, plain and over TLS, and Orthanc gives them back by DICOMweb."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from edge.config import DestinationSettings, DicomSettings, Settings
from edge.dicom import certificates
from edge.export import making
from edge.objects.case import make
from edge.store import sent
from edge.types import Kind
from tests.export.test_courier import delivered
from tests.support.box import eventually, running
from tests.support.cases import case, faults
from tests.support.exports import CLASSES, box_with, courier, drain, put_result, small_object, states
from tests.support.pacs import Orthanc, free_port, orthanc

pytestmark = pytest.mark.usefixtures("small_objects")
PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
ALL = tuple(kind.value for kind in Kind)


def pacs(port: int, **changes: Any) -> DestinationSettings:
    given = DestinationSettings(name="Orthanc", ae_title="ORTHANC", host="127.0.0.1", port=port)
    return replace(given, **changes)


def web(peer: Orthanc, **changes: Any) -> DestinationSettings:
    address = f"http://127.0.0.1:{peer.http_port}/dicom-web"
    return replace(DestinationSettings(name="Web", kind="stow", url=address), **changes)


def instances(peer: Orthanc) -> dict[str, str]:
    """SOP class by SOP instance, as DICOMweb has them (QIDO-RS)."""
    with urllib.request.urlopen(f"http://127.0.0.1:{peer.http_port}/dicom-web/instances") as answer:  # noqa: S310
        found = json.loads(answer.read() or b"[]")
    return {one["00080018"]["Value"][0]: one["00080016"]["Value"][0] for one in found}


def settle(box: Settings) -> None:
    with courier(box) as sender:
        drain(sender)


def given_back(peer: Orthanc, box: Settings) -> bool:
    uids = states(box, "sop_instance_uid")
    return instances(peer) == dict(zip(uids, map(str, CLASSES.values()), strict=True))


@contextmanager
def reporting(box: Settings) -> Generator[None, None, None]:
    with running("receiver", box):
        eventually((box.run_dir / "receiver.port").exists)
        yield


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_orthanc_gets_all_five_commits_them_and_gives_them_back(tmp_path: Path, tls: bool) -> None:
    dicom = DicomSettings(port=free_port(), tls=tls)
    box = box_with(tmp_path / "box", dicom=dicom)
    options: dict[str, Any] = {"Plugins": [PLUGIN]}
    if tls:
        folder = tmp_path / "issued"
        certificates.issue(box, "orthanc", folder, server=True)
        options |= {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(folder / "orthanc.crt"),
            "DicomTlsPrivateKey": str(folder / "orthanc.key"),
            "DicomTlsTrustedCertificates": str(folder / "ca.crt"),
            "UseDicomTls": True,
        }
    with orthanc(tmp_path, box.dicom.port, **options) as peer:
        box = replace(box, destination=(pacs(peer.port, tls=tls),))
        put_result(box, "abnormal")
        with reporting(box):
            settle(box)
            eventually(lambda: states(box) == ["committed"] * 5)
        assert delivered(box) and given_back(peer, box)


def test_orthanc_gets_all_five_by_stow(tmp_path: Path) -> None:
    with orthanc(tmp_path, 1, Plugins=[PLUGIN]) as peer:
        box = box_with(tmp_path / "box", web(peer))
        put_result(box)
        settle(box)
        assert states(box) == ["stored"] * 5 and delivered(box) and given_back(peer, box)


@contextmanager
def https(port: int, certificate: Path) -> Generator[int, None, None]:
    """A proxy that speaks TLS before Orthanc, which on Debian crashes when it speaks TLS itself (1.10.1)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    class Proxy(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                client = context.wrap_socket(self.request, server_side=True)
            except OSError:
                return
            with client, socket.create_connection(("127.0.0.1", port)) as server:
                back = threading.Thread(target=_pour, args=(server, client))
                back.start()
                _pour(client, server)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy) as listening:
        listening.daemon_threads = True
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        yield int(listening.server_address[1])
        listening.shutdown()
        thread.join()


def _pour(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def test_orthanc_gets_all_five_by_stow_over_https_with_a_password(tmp_path: Path) -> None:
    folder, secret = tmp_path / "issued", tmp_path / "secret"
    box = box_with(tmp_path / "box")
    certificates.issue(box, "orthanc", folder, server=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "orthanc.key").read_bytes() + (folder / "orthanc.crt").read_bytes())
    secret.write_text("box:secret\n")
    options = {"AuthenticationEnabled": True, "RegisteredUsers": {"box": "secret"}}
    with orthanc(tmp_path, 1, Plugins=[PLUGIN], **options) as peer, https(peer.http_port, both) as port:
        there = web(peer, url=f"https://127.0.0.1:{port}/dicom-web", credential=str(secret))
        put_result(replace(box, destination=(there,)))
        stranger = box_with(tmp_path / "stranger").data_dir
        for wrong, code in (
            (replace(there, ca=str(folder / "ca.crt")), "unreachable"),  # the certificate is of another name
            (replace(there, credential=""), "unauthorized"),
        ):
            settle(replace(box, destination=(wrong,)))
            standing = sent.standings(box.database, box)[0]
            assert standing.trouble is not None and standing.trouble["code"] == code
        other = replace(box, data_dir=stranger, destination=(there,))
        put_result(other)
        settle(other)
        assert states(other) == ["queued"] * 5, "the certificate is of an authority that it does not know"
        settle(replace(box, destination=(there,)))
        assert states(box) == ["stored"] * 5
        assert len(peer.api("/instances", headers={"Authorization": "Basic Ym94OnNlY3JldA=="})) == 5


def test_a_stranger_of_orthanc_waits_and_is_told_so(tmp_path: Path) -> None:
    with orthanc(tmp_path, 1, DicomAlwaysAllowStore=False) as peer:
        box = box_with(tmp_path / "box", pacs(peer.port), dicom=DicomSettings(ae_title="STRANGER"))
        put_result(box)
        settle(box)
        standing = sent.standings(box.database, box)[0]
    assert states(box) == ["queued"] * 5 and standing.trouble is not None


def test_orthanc_that_lost_what_it_took_gets_it_again(tmp_path: Path) -> None:
    box = box_with(tmp_path / "box", dicom=DicomSettings(port=free_port()))
    with orthanc(tmp_path, box.dicom.port, Plugins=[PLUGIN]) as peer:
        box = replace(box, destination=(pacs(peer.port, objects=("sc",)),))
        put_result(box)
        with reporting(box), courier(box) as sender:
            assert sender.step()
            assert states(box) == ["stored"]
            (one,) = peer.api("/instances")
            request = urllib.request.Request(f"http://127.0.0.1:{peer.http_port}/instances/{one}", method="DELETE")  # noqa: S310
            urllib.request.urlopen(request).close()  # noqa: S310
            assert sender.step()
            eventually(lambda: states(box) == ["queued"])
            drain(sender)
            eventually(lambda: states(box) == ["committed"])
        assert len(instances(peer)) == 1


@contextmanager
def storescp(folder: Path, *options: str) -> Generator[DestinationSettings, None, None]:
    """dcmtk's storescp, which writes into ``folder``."""
    port = free_port()
    folder.mkdir()
    command = ["storescp", "-aet", "STORESCP", "-od", str(folder), *options, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield pacs(port, ae_title="STORESCP", objects=ALL)
    finally:
        process.kill()
        process.wait()


def all_stored(box: Settings) -> bool:
    settle(box)
    return states(box) == ["stored"] * 5


def test_storescp_of_dcmtk_gets_all_five(tmp_path: Path) -> None:
    with storescp(tmp_path / "got", "+xa") as peer:
        box = box_with(tmp_path / "box", peer)
        put_result(box)
        eventually(lambda: all_stored(box))
    assert len(list((tmp_path / "got").iterdir())) == 5 and delivered(box), "it offers no commitment"


def test_an_archive_that_knows_no_jpeg_gets_the_captured_image_uncompressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = make(case(), Kind.SECONDARY_CAPTURE)
    monkeypatch.setattr(
        making, "make", lambda of, kind: real if kind is Kind.SECONDARY_CAPTURE else small_object(of, kind)
    )
    with storescp(tmp_path / "got") as peer:
        box = box_with(tmp_path / "box", peer)
        put_result(box)
        eventually(lambda: all_stored(box))
    (path,) = (tmp_path / "got").glob("SC*")
    got = pydicom.dcmread(path)
    assert not got.file_meta.TransferSyntaxUID.is_compressed and got.SOPInstanceUID == real.SOPInstanceUID
    assert np.array_equal(got.pixel_array, real.pixel_array) and got.PhotometricInterpretation == "RGB"
    assert got.LossyImageCompression == "01" and faults(got, tmp_path) == []
