"""Real peers: Debian's Orthanc, dcmtk's dcmqrscp and wlmscpfs, and one of pynetdicom that misbehaves as told."""

from __future__ import annotations

import io
import json
import random
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE

from edge.dicom.receive import TRANSFER_SYNTAXES
from edge.dicom.storage_classes import STORAGE_CLASSES
from tests.support import inputs
from tests.support.box import WAIT_S, eventually, storescu

STUDY_FIND, STUDY_MOVE, STUDY_GET = (UID(f"1.2.840.10008.5.1.4.1.2.2.{number}") for number in (1, 2, 3))
WORKLIST_FIND = UID("1.2.840.10008.5.1.4.31")


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses now, and that the kernel gives to nobody by itself."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if not _is_refused(probe, port):
                return port


def _is_refused(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        return True
    return False


@contextmanager
def _program(command: Sequence[str], log: Path, is_ready: Callable[[], bool]) -> Generator[None, None, None]:
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=log.parent)
        try:
            eventually(lambda: process.poll() is not None or is_ready())
            assert process.poll() is None, log.read_text(errors="replace")[-2000:]
            yield
        finally:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc, spoken to by its REST interface."""

    port: int
    http_port: int

    def api(self, path: str, body: bytes | dict[str, Any] | None = None, headers: dict[str, str] | None = None) -> Any:
        """GET, or POST with a body; the JSON of the answer."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", data, headers or {})  # noqa: S310
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:  # noqa: S310
            return json.loads(answer.read())

    def upload(self, *datasets: Dataset) -> list[str]:
        """Put objects into it; their Orthanc identifiers."""
        return [self.api("/instances", _written(dataset))["ID"] for dataset in datasets]

    def send_to_box(self, ids: Sequence[str]) -> dict[str, Any]:
        """C-STORE of what it holds to the box."""
        answer = self.api("/modalities/box/store", {"Resources": list(ids), "Synchronous": True})
        assert isinstance(answer, dict)
        return answer

    def echoes_box(self) -> bool:
        """C-ECHO of the box."""
        return bool(self.api("/modalities/box/echo", {"Timeout": 10}) == {})


def _written(dataset: Dataset) -> bytes:
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


@contextmanager
def orthanc(folder: Path, box_port: int, **options: Any) -> Generator[Orthanc, None, None]:
    """Debian's Orthanc as ``ORTHANC``, which knows the box as the modality ``box``.

    Parameters
    ----------
    **options : further ones of its configuration; ``UseDicomTls`` is that of the box.
    """
    running = Orthanc(free_port(), free_port())
    box = {"AET": "CHESTEDGE", "Host": "127.0.0.1", "Port": box_port, "UseDicomTls": options.pop("UseDicomTls", False)}
    configuration = {
        "Name": "Orthanc",
        "StorageDirectory": str(folder / "orthanc"),
        "IndexDirectory": str(folder / "orthanc"),
        "DicomAet": "ORTHANC",
        "DicomPort": running.port,
        "DicomCheckCalledAet": True,
        "HttpPort": running.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomModalities": {"box": box},
        "Plugins": [],
        "StableAge": 1,
        **options,
    }
    file = folder / "orthanc.json"
    file.write_text(json.dumps(configuration))
    with _program(["Orthanc", str(file)], folder / "orthanc.log", lambda: _listens(running.http_port, running.port)):
        yield running


def _listens(*ports: int) -> bool:
    for port in ports:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return False
    return True


@contextmanager
def dcmqrscp(
    folder: Path, box_port: int, datasets: Sequence[Dataset] = (), options: Sequence[str] = ()
) -> Generator[int, None, None]:
    """dcmtk's archive as ``DCMQRSCP`` with these objects in it, which knows the box; its port."""
    port, store = free_port(), folder / "dcmqrscp"
    store.mkdir()
    file = folder / "dcmqrscp.cfg"
    file.write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
        f"HostTable BEGIN\nbox = (CHESTEDGE, 127.0.0.1, {box_port})\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nDCMQRSCP {store} RW (200, 1024mb) ANY\nAETable END\n"
    )
    command = ["dcmqrscp", "-c", str(file), *options]
    with _program(command, folder / "dcmqrscp.log", lambda: _listens(port)):
        for number, dataset in enumerate(datasets):
            path = inputs.save(dataset, folder / f"to-send-{number}.dcm")
            assert storescu(port, [path], "-aec", "DCMQRSCP", "-R", "-xs" if _is_jpeg(dataset) else "-x=") == 0
        yield port


def _is_jpeg(dataset: Dataset) -> bool:
    return bool(dataset.file_meta.TransferSyntaxUID.is_compressed)


def scheduled(**elements: Any) -> Dataset:
    """A worklist entry for the patient of ``tests.support.inputs``; keywords of the step go to the step."""
    entry, step = Dataset(), Dataset()
    of_step = {
        "ScheduledStationAETitle": "",
        "ScheduledProcedureStepStartDate": "20260301",
        "ScheduledProcedureStepStartTime": "101000",
        "Modality": "DX",
        "ScheduledPerformingPhysicianName": "Doe",
        "ScheduledProcedureStepDescription": "Chest",
        "ScheduledProcedureStepID": "S1",
    }
    of_entry = {
        "SpecificCharacterSet": "ISO_IR 100",
        "AccessionNumber": "ACC-77",
        "PatientName": "Phantom^Test",
        "PatientID": "PHANTOM-1",
        "PatientBirthDate": "19700102",
        "PatientSex": "O",
        "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.77",
        "RequestedProcedureID": "R1",
        "RequestedProcedureDescription": "Chest",
    }
    for keyword, value in {**of_step, **of_entry, **elements}.items():
        setattr(step if keyword in of_step else entry, keyword, value)
    entry.ScheduledProcedureStepSequence = [step]
    return entry


@contextmanager
def wlmscpfs(folder: Path, *entries: Dataset) -> Generator[int, None, None]:
    """dcmtk's worklist server as ``WORKLIST`` with these entries; its port."""
    port, place = free_port(), folder / "worklist" / "WORKLIST"
    place.mkdir(parents=True)
    (place / "lockfile").touch()
    for number, entry in enumerate(entries):
        entry.save_as(place / f"{number}.wl", implicit_vr=False, little_endian=True)
    command = ["wlmscpfs", "-dfr", "-dfp", str(place.parent), str(port)]
    with _program(command, folder / "wlmscpfs.log", lambda: _listens(port)):
        yield port


@contextmanager
def scripted(
    *handlers: tuple[Any, Callable[..., Any]],
    offers: Sequence[UID] = (STUDY_FIND, STUDY_MOVE, STUDY_GET),
    port: int = 0,
) -> Generator[int, None, None]:
    """A peer as ``SCRIPTED`` that answers each request as its handler says; its port, any free one for 0."""
    entity = AE(ae_title="SCRIPTED")
    for kind in offers:
        entity.add_supported_context(kind, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    for kind in STORAGE_CLASSES:
        entity.add_supported_context(kind, list(TRANSFER_SYNTAXES), scu_role=True, scp_role=True)
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=list(handlers))
    assert server is not None
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
