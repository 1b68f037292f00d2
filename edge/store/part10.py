"""A whole DICOM file (PS3.10 section 7) as the spool takes it: File Meta Information, then the data set.

Only the lengths of the File Meta group are followed, in the first bytes of the file; the data set
is passed on as it comes, piece by piece, and nothing of it is interpreted. Older modalities write
data sets without any preamble; what looks like neither is refused before anything is stored.
Rejected: pydicom's reader, which is for the limited child process alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from edge.errors import UnreadableError
from edge.store.spool import Delivery

HEAD_BYTES = 64 * 1024
"""The first part of a file, in which its File Meta Information must end to be understood."""

_MAGIC_AT = 128
_GROUP = b"\x02\x00"
_LONG_VRS = frozenset({b"OB", b"OW", b"OF", b"SQ", b"UN", b"UT"})
_SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX, _SOURCE = 0x0002, 0x0003, 0x0010, 0x0016
_UID = re.compile(r"[0-9.]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeFile:
    """A file taken apart; what its File Meta Information tells is in ``delivery``.

    Attributes
    ----------
    head : the first bytes of the data set, of which ``content`` is the whole; to be gone through once.
    source_ae_title : who sent it to whoever wrote the file.
    """

    file_meta: bytes
    head: bytes
    content: Iterable[bytes]
    delivery: Delivery
    source_ae_title: str = ""


def take_apart(pieces: Iterable[bytes]) -> WholeFile:
    """Look at the start of a file that comes in pieces.

    Raises
    ------
    UnreadableError
        ``not_dicom``: it is neither a DICOM file nor a bare data set.
    """
    source = iter(pieces)
    head = _head(source)
    start = _start(head)
    end, values = _meta(head, start)
    uids = {element: _uid(value) for element, value in values.items()}
    return WholeFile(
        file_meta=head[start:end],
        head=head[end:],
        content=chain((head[end:],), source),
        delivery=Delivery(
            sop_class_uid=uids.get(_SOP_CLASS, ""),
            sop_instance_uid=uids.get(_SOP_INSTANCE, ""),
            transfer_syntax_uid=uids.get(_TRANSFER_SYNTAX, ""),
        ),
        source_ae_title=values.get(_SOURCE, b"").decode("latin-1").strip("\0 "),
    )


def _head(source: Iterator[bytes]) -> bytes:
    head = b""
    for piece in source:
        head += piece
        if len(head) >= HEAD_BYTES:
            break
    return head


def _start(head: bytes) -> int:
    """Where the elements begin."""
    if head[_MAGIC_AT : _MAGIC_AT + 4] == b"DICM":
        return _MAGIC_AT + 4
    # Group 0002 or 0008 in little endian, or 0008 in big endian; such data sets begin with a low element.
    if len(head) > 8 and ((head[:2] in {_GROUP, b"\x08\x00"} and head[3] == 0) or head[:3] == b"\x00\x08\x00"):
        return 0
    raise UnreadableError("not_dicom")


def _meta(head: bytes, start: int) -> tuple[int, dict[int, bytes]]:
    """Where the File Meta Information ends, and the values of its elements."""
    values: dict[int, bytes] = {}
    while head[start : start + 2] == _GROUP:
        vr = head[start + 4 : start + 6]
        if not vr.isalpha():  # implicit VR, which is wrong here and exists
            begin, length = start + 8, head[start + 4 : start + 8]
        elif vr in _LONG_VRS:
            begin, length = start + 12, head[start + 8 : start + 12]
        else:
            begin, length = start + 8, head[start + 6 : start + 8]
        end = begin + int.from_bytes(length, "little")
        if end > len(head):
            break
        values[int.from_bytes(head[start + 2 : start + 4], "little")] = head[begin:end]
        start = end
    return start, values


def _uid(value: bytes) -> str:
    text = value.decode("latin-1").rstrip("\0 ")
    return text if _UID.fullmatch(text) else ""
