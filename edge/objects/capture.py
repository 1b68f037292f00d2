"""The image with what the box saw burnt in, as a Secondary Capture (PS3.3 section A.8.1).

Every viewer shows it, which no other object can say. Coded as JPEG at a quality where its letters
stay sharp: a tenth of RLE, and the image itself stays with the PACS as it came.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from highdicom.sc import SCImage
from highdicom.sr import CodedConcept
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sr.codedict import codes
from pydicom.uid import JPEGBaseline8Bit
from pydicom.valuerep import DS

from edge.dicom.limits import MIN_SIDE_PX
from edge.errors import ObjectError
from edge.objects import equipment, header
from edge.objects.content import Content
from edge.objects.drawing import draw
from edge.types import Kind

if TYPE_CHECKING:
    from edge.objects.case import Case

_QUALITY = 90
_UPRIGHT = ("L", "F")
_HALVED_COLUMNS = 1  # 4:2:2, as YBR_FULL_422 says (PS3.3 section C.7.6.3.1.2)


def make(case: Case) -> Dataset:
    """The Secondary Capture of a result.

    Raises
    ------
    ObjectError
        ``no_picture`` for a view that is no image; what the header is refused for.
    """
    if min(case.view.shape) < MIN_SIDE_PX:
        raise ObjectError("no_picture")
    cleaned = header.clean(case.source)
    pixels = draw(case)
    captured = SCImage(
        pixel_array=pixels,
        photometric_interpretation="YBR_FULL_422",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=_UPRIGHT,
        transfer_syntax_uid=JPEGBaseline8Bit,
        content_qualification="RESEARCH",
        **equipment.patient_and_study(cleaned),
        **equipment.identity(case, Kind.SECONDARY_CAPTURE),
    )
    captured.copy_patient_and_study_information(cleaned)
    content = Content(case.report)
    equipment.place_in_body(captured, _UPRIGHT if content.knows_sides else None, content.is_chest)
    _compress(captured, Image.fromarray(pixels))
    _describe(captured, cleaned)
    return equipment.dated(captured, case, cleaned)


def _compress(captured: Dataset, image: Image.Image) -> None:
    coded = io.BytesIO()
    image.save(coded, "JPEG", quality=_QUALITY, subsampling=_HALVED_COLUMNS)
    captured.PixelData = encapsulate([coded.getvalue()])
    captured.LossyImageCompression = "01"
    captured.LossyImageCompressionMethod = "ISO_10918_1"
    ratio = 3 * image.width * image.height / len(coded.getvalue())
    captured.LossyImageCompressionRatio = DS(round(ratio, 2))


def _describe(captured: Dataset, cleaned: Dataset) -> None:
    captured.ConversionType = "WSD"
    captured.ImageType = ["DERIVED", "SECONDARY"]
    captured.BurnedInAnnotation = "YES"
    captured.DerivationDescription = "Image as read, with outlines, marks and words of the result burnt in"
    captured.ImageComments = equipment.NOTICE
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = cleaned.SOPClassUID, cleaned.SOPInstanceUID
    source.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)]
    captured.SourceImageSequence = [source]
