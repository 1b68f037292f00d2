"""An image with a name in every place of a file that can hold one, and the search for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.support.inputs import dx, phantom, save

NAME = "ZEBRAFISH"
START = NAME[:4]
"""As much of it as the shortest value holds."""
NUMBER, DAY, TIME, UID = "31415926", "29990731", "101112.314159", "2.25.314159265358979"
_VALUES: dict[str, Any] = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"), NAME),
    **dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW", "UN"), NAME.encode() * 8),
    **{"AS": START, "DA": DAY, "DT": f"{DAY}101112", "TM": TIME, "DS": NUMBER, "IS": NUMBER, "UI": UID},
    **dict.fromkeys(("UL", "SL", "AT", "UV", "SV"), int.from_bytes(START.encode(), "little")),
    **{"FL": np.frombuffer(START.encode(), "<f4")[0], "FD": np.frombuffer((NAME + "!")[:8].encode(), "<f8")[0]},
    **{"US": 0x455A, "SS": 0x455A},
}
_IN_CHARSET = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_OF_THE_PIXELS = (0x0028_0002, 0x0028_0004, 0x0028_0006, 0x0028_0008, 0x0028_0010, 0x0028_0011)
_LEFT_ALONE = {
    *_OF_THE_PIXELS,
    *(0x0028_0100, 0x0028_0101, 0x0028_0102, 0x0028_0103),
    *(
        0x0008_0005,
        0x0008_0016,
        0x0008_0060,
    ),
    *(0x0028_0120, 0x0028_0121),  # of two bytes, where no search finds anything
}


def keywords() -> list[str]:
    """Every attribute of the data dictionary that can stand in a header."""
    return [entry[4] for _, entry in _entries() if entry[4]]


def image(path: Path, charset: str = "ISO_IR 192", name: str = NAME, **elements: Any) -> Path:
    """A radiograph whose every attribute, private element, overlay, spare bit and spare byte holds the name."""
    pixels = phantom()
    letters = np.frombuffer(NAME.encode(), np.uint8).astype(np.uint16)
    dataset = dx(pixels | (np.resize(letters & 15, pixels.shape) << 12))
    dataset.SpecificCharacterSet = charset
    for tag, entry in _entries():
        _add(dataset, tag, entry[0], name, depth=2)
    _add_private(dataset)
    for group in (0x5000, 0x6000):
        dataset.add_new((group, 0x3000), "OW", NAME.encode() * 2)
        dataset.add_new((group, 0x0022), "LO", NAME)
    dataset.add_new((0x0020, 0x3100), "LO", NAME)
    dataset.add_new((0xFFFC, 0xFFFC), "OB", NAME.encode() * 4)
    dataset.preamble = (NAME.encode() * 16)[:128]
    dataset.file_meta.SourceApplicationEntityTitle = NAME
    dataset.file_meta.ImplementationVersionName = NAME
    dataset.file_meta.PrivateInformationCreatorUID = UID
    dataset.file_meta.PrivateInformation = NAME.encode() * 2
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return save(dataset, path)


def hits(folder: Path, *others: bytes) -> list[str]:
    """What of all canaries stands anywhere in the names and bytes of the files of a folder."""
    sought = [START, START.lower(), NUMBER, DAY, UID, TIME]
    wanted = [*(text.encode() for text in sought), START.encode("utf-16-le"), *others]
    contents = {path.name: path.name.encode() + path.read_bytes() for path in folder.iterdir()}
    return [f"{name}: {what!r}" for name, content in contents.items() for what in wanted if what in content]


def _entries() -> list[tuple[int, Any]]:
    return [
        (tag, entry)
        for tag, entry in sorted(DicomDictionary.items())
        if tag not in _LEFT_ALONE and 0x0007_FFFF < tag < 0x7FE0_0000 and tag & 0xFFFF and entry[0] != "NONE"
    ]


def _add(dataset: Dataset, tag: int, kind: str, name: str, depth: int) -> None:
    vr = kind.split(" or ", maxsplit=1)[0]
    if vr == "SQ":
        dataset.add_new(tag, vr, Sequence([_item(name, depth)] if depth else []))
    else:
        dataset.add_new(tag, vr, name if vr in _IN_CHARSET else _VALUES[vr])


def _item(name: str, depth: int) -> Dataset:
    item = Dataset()
    for keyword in ("PatientName", "CodeValue", "CodeMeaning", "TextValue", "StudyDate", "StudyInstanceUID"):
        vr = "PN" if keyword == "PatientName" else {"StudyDate": "DA", "StudyInstanceUID": "UI"}.get(keyword, "LO")
        item.add_new(keyword, vr, name if vr in {"PN", "LO"} else _VALUES[vr])
    item.LUTDescriptor = [4, 0, 16]
    item.add_new("LUTData", "OW", np.arange(4, dtype="<u2").tobytes())
    item.LUTExplanation = NAME
    _add_private(item)
    _add(item, 0x0008_1140, "SQ", name, depth - 1)
    return item


def _add_private(dataset: Dataset) -> None:
    for group in (0x0009, 0x0011, 0x0029, 0x7FDF):
        block = dataset.private_block(group, f"{NAME} {group:04x}", create=True)
        block.add_new(0x01, "LO", NAME)
        block.add_new(0x02, "UN", NAME.encode() * 2)
