"""The printable report of a study, as the page hands it out.

Whose image it is comes from the store, which the page shows too; the stored image, a file of strangers,
is not opened for it.
"""

from __future__ import annotations

from pydicom import config as pydicom_config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from edge.config import Settings
from edge.objects import receipt
from edge.objects.case import Case, load_view
from edge.objects.report import pdf
from edge.objects.tomography.slices import Slices
from edge.store import signing, stack, studies


def printed(settings: Settings, found: studies.StudyView, language: str) -> bytes:
    """The report of the result that is shown, as a PDF.

    Raises
    ------
    SetupError, StorageError
        There is no key to sign its receipt with, and none can be made.
    """
    result = found.result or {}
    box_id = signing.box_id(settings)
    text = receipt.issue(signing.private_key(settings), box_id, found.study_key, found.version, result)
    pictures = stack.opened(studies.stack_path(settings, found.study_key, found.version))
    case = Case(
        report=result,
        study_key=found.study_key,
        version=found.version,
        source=_header(found),
        view=load_view(studies.preview_path(settings, found.study_key, found.version)),
        box_id=box_id,
        language=language,
        paper=settings.web.paper,
        receipt=text,
        slices=Slices(pictures=pictures, headers=tuple) if pictures else None,  # paper needs no headers
    )
    return pdf(case)


def _header(found: studies.StudyView) -> Dataset:
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.PatientSex = found.sex if found.sex in {"F", "M", "O"} else ""
    for tag, vr, text in (
        ("PatientName", "PN", found.patient_name),
        ("PatientID", "LO", found.patient_id),
        ("AccessionNumber", "SH", found.accession_number),
        ("PatientBirthDate", "DA", f"{found.birth_date:%Y%m%d}" if found.birth_date else ""),
        ("StudyDate", "DA", f"{found.acquired_at:%Y%m%d}" if found.acquired_at else ""),
    ):
        header.add(DataElement(tag, vr, text, validation_mode=pydicom_config.IGNORE))
    return header
