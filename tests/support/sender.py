"""A modality for tests: associations that are opened, used, released or broken off step by step."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association


@contextmanager
def associated(port: int) -> Generator[Association, None, None]:
    """An open association with the box; it is broken off at the end where the test has not ended it."""
    entity = AE(ae_title="MODALITY")
    for storage_class in (DigitalXRayImageStorageForPresentation, CTImageStorage):
        entity.add_requested_context(storage_class, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", port, ae_title="CHESTEDGE")
    assert association.is_established
    connection = association.dul.socket.socket
    try:
        yield association
    finally:
        association.abort()
        connection.close()  # the library leaves one open whose other side is gone


def cut(association: Association) -> None:
    """Cut the connection without a word, as a pulled cable does."""
    association.dul.socket.socket.shutdown(socket.SHUT_RDWR)


def store(association: Association, *datasets: Dataset) -> None:
    """Send objects, each of which must be acknowledged."""
    for dataset in datasets:
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        status = association.send_c_store(dataset)
        assert status.Status == 0, hex(status.Status)


def send(port: int, *datasets: Dataset) -> None:
    """Send objects over one association and release it."""
    with associated(port) as association:
        store(association, *datasets)
        association.release()
