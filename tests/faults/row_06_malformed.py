"""Row 6: malformed files by the thousand, all through the reader, and a part of them the whole way.

Half of the damage is blind, half keeps the structure of the file around it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE

from edge.dicom.reader import FILE_S, MEMORY_BYTES, Reader
from edge.store import studies
from edge.types import State
from tests.faults import malformed
from tests.faults.row import Outcome, Row, Trial
from tests.faults.watched import Watched
from tests.support.box import box_settings, echoscu, eventually, running
from tests.support.malformed import altered
from tests.support.studies import ready_box

_WAITING = frozenset({State.RECEIVED, State.PARSED, State.READY, State.RUNNING})
_READY_S = 60.0
_EACH_S = 10.0


def run(trial: Trial) -> Outcome:
    """Break files, read them all, and send some."""
    seeds = malformed.seeds(trial.folder)
    bulk = trial.count(200, 5_000)
    watched = Watched()
    path = trial.folder / "broken"
    with Reader() as reader:
        for number, content in enumerate(malformed.broken(trial.random(), seeds, bulk)):
            path.write_bytes(content)
            watched.read(reader, path, f"number {number}")
        _read_altered(trial, watched, reader, seeds[2])
    sent = trial.count(20, 300)
    contents = {_data_set(content) for content in malformed.broken(trial.random(), seeds[1:3], sent)}
    survived, settled = _whole_way(trial.folder / "box", sorted(contents))
    receiver = f"the receiver, which {'lived' if survived else 'died'}"
    figure = (
        f"{watched.outcomes.total()} files: {watched.told()};"
        f" {len(contents)} others through {receiver}: {settled} on the page with an image or a reason"
    )
    within = watched.peak_bytes <= MEMORY_BYTES and (not trial.is_long or watched.slowest_s <= FILE_S + 1)
    return Outcome(figure=figure, ok=within and survived and settled == len(contents) and not watched.escapes)


def _read_altered(trial: Trial, watched: Watched, reader: Reader, valid: bytes) -> None:
    path = trial.folder / "altered"
    count = trial.count(100, 5_000)

    @seed(trial.seed)
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(altered(valid))
    def read(content: bytes) -> None:
        path.write_bytes(content)
        watched.read(reader, path, f"altered, SHA-256 {hashlib.sha256(content).hexdigest()}")

    read()


def _whole_way(data_dir: Path, contents: list[bytes]) -> tuple[bool, int]:
    ready_box(data_dir)
    box = box_settings(data_dir)
    with running("receiver", box) as receiver:
        port = int(eventually(lambda: _text(box.run_dir / "receiver.port")))
        _send(port, contents)
        survived = receiver.poll() is None and echoscu(port) == 0
    with running("worker", box):
        timeout_s = _READY_S + _EACH_S * len(contents)
        eventually(lambda: all(row.state not in _WAITING for row in studies.worklist(box.database, -1)), timeout_s)
    rows = studies.worklist(box.database, -1)
    return survived, sum(row.instance_count for row in rows if row.reasons or row.state is State.DONE)


def _send(port: int, contents: Iterable[bytes]) -> None:
    """Send bytes as they are, as the data set of an object: pydicom would not write them."""
    entity = AE(ae_title="MODALITY")
    entity.add_requested_context(DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", port, ae_title="CHESTEDGE")
    assert association.is_established
    for number, content in enumerate(contents):
        request = C_STORE()
        request.MessageID = number % 65535 + 1
        request.AffectedSOPClassUID = DigitalXRayImageStorageForPresentation
        request.AffectedSOPInstanceUID = generate_uid()
        request.Priority = 2
        request.DataSet = io.BytesIO(content)
        association._reactor_checkpoint.clear()
        association.dimse.send_msg(request, 1)
        _, response = association.dimse.get_msg(block=True)
        association._reactor_checkpoint.set()
        assert response is not None and response.Status == 0, response
    association.release()


def _data_set(content: bytes) -> bytes:
    """What stands behind the file meta information, whose length its first element tells."""
    if content[132:136] != b"\x02\x00\x00\x00":
        return content
    data = content[144 + int.from_bytes(content[140:144], "little") :]
    return (data or content) + bytes(len(data or content) % 2)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


ROW = Row(
    number=6,
    goal="10,000 malformed DICOM files: receiver never dies, child <= 512 MiB and 10 s, each with a reason",
    run=run,
)
