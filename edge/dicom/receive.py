"""The receiver: Verification and Storage SCP (PS3.4 annexes A and B, PS3.7 section 9.3.1).

An object is stored as it came, undecoded: nothing of the sender's bytes is interpreted
here. Success is answered only after the file and its row are durable. Deflated transfer
syntax is not offered (a megabyte of it can ask for gigabytes). Rejected: decoding on
arrival, which makes a bad file the receiver's problem.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import AE, evt
from pynetdicom.dsutils import encode_file_meta

from edge import clock, log
from edge.bus import Speaker
from edge.config import LOOPBACK, Settings
from edge.dicom import commitment
from edge.dicom.deliveries import Deliveries
from edge.dicom.guard import Rules
from edge.dicom.lobby import Server
from edge.dicom.send import VERIFICATION
from edge.dicom.storage_classes import STORAGE_CLASSES
from edge.errors import EdgeError, SetupError, StorageError
from edge.store.database import opened
from edge.store.files import write_durably
from edge.store.reconcile import Difference, settle, tidy
from edge.store.spool import Delivery, Spool

TRANSFER_SYNTAXES: tuple[UID, ...] = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    RLELossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
)
_SUCCESS = 0x0000
_ACSE_TIMEOUT_S = 5
_DIMSE_TIMEOUT_S = 30
_NETWORK_TIMEOUT_S = 30
_MAX_PDU_BYTES = 65536
_SWEEP_S = 1.0
_PAUSE_S = 5.0
_PATIENCE_S = 2.0
_UNLIMITED = 1 << 30


class Store:
    """Stores what associations deliver; used by all their threads."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self.deliveries = Deliveries(spool)

    def handle(self, event: evt.Event) -> int:
        """Store the object of a C-STORE request and return the status to answer with."""
        started = clock.monotonic()
        try:
            content = event.encoded_dataset(include_meta=False)
            number = self.deliveries.number(event.assoc)
            delivery = delivery_of(event, event.assoc.requestor.ae_title, number)
            self._spool.keep(_file_meta(event), content, delivery)
        except StorageError as error:
            log.event("store_refused", code=error.code, status=error.dicom_status)
            return error.dicom_status
        except Exception as error:  # whatever it is, it must not be answered with success
            log.event("store_failed", error_type=type(error).__name__, where=log.where(error))
            return EdgeError.dicom_status
        log.event("stored", size_bytes=len(content), seconds=round(clock.monotonic() - started, 4))
        return _SUCCESS


def application_entity(settings: Settings) -> AE:
    """What the box offers to associations.

    Raises
    ------
    SetupError
        For an AE title that DICOM does not allow.
    """
    try:
        entity = AE(ae_title=settings.dicom.ae_title)
    except ValueError as error:
        expected = "1 to 16 characters"
        raise SetupError(
            "bad_setting", name="dicom.ae_title", expected=expected, value=settings.dicom.ae_title
        ) from error
    entity.maximum_associations = _UNLIMITED  # the lobby counts, and counts none twice that is on its way out
    entity.maximum_pdu_size = _MAX_PDU_BYTES
    entity.acse_timeout = _ACSE_TIMEOUT_S
    entity.dimse_timeout = _DIMSE_TIMEOUT_S
    entity.network_timeout = _NETWORK_TIMEOUT_S
    entity.add_supported_context(VERIFICATION)
    for storage_class in STORAGE_CLASSES:
        entity.add_supported_context(storage_class, list(TRANSFER_SYNTAXES))
    if any(destination.asks_commitment for destination in settings.destination):
        # Whoever reports is its provider, although it calls (PS3.4 section J.3.3, PS3.7 annex D.3.3.4).
        entity.add_supported_context(commitment.PUSH_MODEL, scu_role=False, scp_role=True)
    return entity


def check(settings: Settings) -> None:
    """See whether the receiver could work with these settings.

    Raises
    ------
    SetupError
        With the setting that is wrong.
    """
    application_entity(settings)
    Rules(settings)
    if settings.web.port == settings.dicom.port != 0:
        raise SetupError("bad_setting", name="web.port", expected="another than dicom.port", value=settings.web.port)


def own_address(settings: Settings) -> tuple[str, int]:
    """Host and port on which this machine reaches its own receiver."""
    host = LOOPBACK if settings.dicom.host in {"", "0.0.0.0"} else settings.dicom.host  # noqa: S104
    return host, settings.dicom.port


def run(settings: Settings) -> int:
    """Receive until SIGTERM, and return the exit status.

    The bound port is in ``run_dir/receiver.port`` once associations are accepted.
    """
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
    left = _left(settings)  # before it listens: what comes later is nobody's remains
    speaker = Speaker(settings.run_dir, "receiver")
    spool = Spool(settings, speaker.wake)
    store = Store(spool)
    handlers: list[Any] = [
        (evt.EVT_C_STORE, store.handle),
        (evt.EVT_RELEASED, store.deliveries.released),
        (evt.EVT_ABORTED, store.deliveries.aborted),
        (evt.EVT_N_EVENT_REPORT, commitment.handler(settings.database, speaker.wake)),
    ]
    server = Server(settings, application_entity(settings), handlers)
    threading.excepthook = server.refusals.thread_failed
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    _announce(settings, server.server_address[1])
    # Beside it, since a rebuilt database waits for each stored file to be read.
    taking_in = threading.Thread(target=_take_in, args=(settings, left, speaker.wake, stopped), daemon=True)
    taking_in.start()
    while not stopped.wait(_SWEEP_S):
        if not thread.is_alive():  # a deaf receiver is worse than one that is started again
            return 1
        store.deliveries.sweep()
    server.shutdown()
    taking_in.join(_PATIENCE_S)
    spool.close()
    speaker.close()
    return 0


def _left(settings: Settings) -> Difference | None:
    try:
        with opened(settings.database) as database:
            return tidy(database, settings)
    except (StorageError, OSError) as error:  # on a full disk the box must still answer, if only with a refusal
        log.event("reconcile_failed", error_type=type(error).__name__, where=log.where(error))
        return None


def _take_in(
    settings: Settings, left: Difference | None, wake: Callable[[int], None], stopped: threading.Event
) -> None:
    """Make files and rows agree, again and again until that has worked once."""
    while not stopped.is_set():
        try:
            with opened(settings.database) as database:
                found = left or tidy(database, settings)
                settle(database, found, stopped.is_set)
            log.event("reconciled", adopted=len(found.orphans), lost=len(found.lost))
        except (StorageError, OSError) as error:
            log.event("reconcile_failed", error_type=type(error).__name__, where=log.where(error))
            left = None
            stopped.wait(_PAUSE_S)
            continue
        if not stopped.is_set():
            wake(0)
        return


def _announce(settings: Settings, port: int) -> None:
    write_durably(settings.run_dir / "receiver.port", [b"%d\n" % port])
    log.event("receiver_ready", host=settings.dicom.host, port=port)


def _file_meta(event: evt.Event) -> bytes:
    meta = event.file_meta
    # So that a database made anew from the files knows who sent each (PS3.10 table 7.1-1).
    meta.SourceApplicationEntityTitle = event.assoc.requestor.ae_title
    return bytes(encode_file_meta(meta))


def delivery_of(event: evt.Event, calling_ae_title: str, association_id: int | None) -> Delivery:
    """What a C-STORE request says of its object."""
    request: Any = event.request
    return Delivery(
        sop_class_uid=str(request.AffectedSOPClassUID),
        sop_instance_uid=str(request.AffectedSOPInstanceUID),
        transfer_syntax_uid=str(event.context.transfer_syntax),
        calling_ae_title=calling_ae_title,
        association_id=association_id,
    )
