"""Debian's Orthanc with a certificate of the box: it echoes to the box, and the box to it, over TLS."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge.dicom.send import echo
from edge.dicom.tls import client_context
from tests.support.box import WAIT_S, echoscu, eventually
from tests.support.receivers import receiver
from tests.support.tls import issued


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def orthanc(folder: Path, **settings: Any) -> Generator[str, None, None]:
    """Orthanc with these settings; the address of its REST interface."""
    http = free_port()
    storage = {"StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db")}
    (folder / "orthanc.json").write_text(json.dumps({"HttpPort": http, **storage, **settings}))
    with (folder / "orthanc.log").open("w") as log:
        process = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log)
    try:
        eventually(lambda: is_listening(http))
        yield f"http://127.0.0.1:{http}"
    finally:
        process.terminate()
        process.wait(WAIT_S)


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def echoes(address: str) -> bool:
    """Whether Orthanc's C-ECHO to the box succeeds."""
    asked = urllib.request.Request(f"{address}/modalities/box/echo", data=b"{}", method="POST")  # noqa: S310
    try:
        with urllib.request.urlopen(asked, timeout=WAIT_S) as answer:  # noqa: S310
            return int(answer.status) == 200
    except OSError:
        return False


def test_orthanc_and_the_box_echo_each_other_over_tls(tmp_path: Path) -> None:
    with receiver(tmp_path, tls=True) as box:
        stick = issued(box.settings, tmp_path / "stick", "PACS", server=True)
        port = free_port()
        calls = {"AET": "CHESTEDGE", "Host": "127.0.0.1", "Port": box.port}
        tls = {
            "DicomTlsEnabled": True,
            "DicomTlsPrivateKey": str(stick / "PACS.key"),
            "DicomTlsCertificate": str(stick / "PACS.crt"),
            "DicomTlsTrustedCertificates": str(stick / "ca.crt"),
            "DicomPort": port,
        }
        with orthanc(tmp_path, **tls, DicomModalities={"box": {**calls, "UseDicomTls": True}}) as address:
            assert echoes(address)
            assert echo("127.0.0.1", port, "ORTHANC", client_context(box.settings))
            assert echoscu(port, called="ORTHANC") != 0
        with orthanc(tmp_path, **tls, DicomModalities={"box": {**calls, "UseDicomTls": False}}) as address:
            assert not echoes(address)
