"""A printable report in a DICOM object: an Encapsulated PDF (PS3.3 section A.45.1).

highdicom has no class for it; its base class gives what all objects share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from highdicom.base import SOPClass
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from edge.objects import equipment, header, report
from edge.types import Kind

if TYPE_CHECKING:
    from edge.objects.case import Case


def make(case: Case) -> Dataset:
    """The printable report of this result as a DICOM object.

    Raises
    ------
    ObjectError
        The header of the image allows no valid object.
    """
    return wrap(case, report.pdf(case))


def wrap(case: Case, document: bytes) -> Dataset:
    """A PDF of this result as a DICOM object.

    Raises
    ------
    ObjectError
        The header of the image allows no valid object.
    """
    cleaned = header.clean(case.source)
    arguments = equipment.identity(case, Kind.PDF)
    devices = arguments.pop("contributing_equipment")
    wrapped = SOPClass(
        sop_class_uid=EncapsulatedPDFStorage,
        modality="DOC",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **equipment.patient_and_study(cleaned),
        **arguments,
    )
    wrapped.copy_patient_and_study_information(cleaned)
    wrapped.ContributingEquipmentSequence = devices
    _describe(wrapped, cleaned)
    wrapped.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
    wrapped.EncapsulatedDocumentLength = len(document)
    return equipment.dated(wrapped, case, cleaned)


def _describe(wrapped: Dataset, cleaned: Dataset) -> None:
    wrapped.ConversionType = "WSD"
    wrapped.AcquisitionDateTime = None
    wrapped.BurnedInAnnotation = "YES"
    wrapped.DocumentTitle = equipment.NOTICE
    wrapped.ConceptNameCodeSequence = [CodedConcept.from_code(codes.cid7021.ImagingMeasurementReport)]
    wrapped.VerificationFlag = "UNVERIFIED"
    wrapped.MIMETypeOfEncapsulatedDocument = "application/pdf"
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = cleaned.SOPClassUID, cleaned.SOPInstanceUID
    wrapped.SourceInstanceSequence = [source]
