"""Objects put into the spool through its one door, as a receiver does."""

from __future__ import annotations

import secrets

from pydicom.dataset import FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian
from pynetdicom.dsutils import encode_file_meta

from edge.store.instances import Receipt
from edge.store.spool import Delivery, Spool


def new_uid() -> str:
    """A random SOP Instance UID."""
    return f"2.25.{secrets.randbits(100)}"


def put(spool: Spool, content: bytes, uid: str | None = None) -> Receipt:
    """Keep these bytes as the data set of a radiograph that MODALITY sends."""
    uid = uid or new_uid()
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = "2.25.1"
    meta.SourceApplicationEntityTitle = "MODALITY"
    meta.FileMetaInformationGroupLength = 0
    delivery = Delivery(
        sop_class_uid=ComputedRadiographyImageStorage,
        sop_instance_uid=uid,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        calling_ae_title="MODALITY",
    )
    return spool.keep(encode_file_meta(meta), content, delivery)
