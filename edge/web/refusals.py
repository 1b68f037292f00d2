"""What a program is told whose request was refused: a status, a code and plain words, as JSON.

PS3.18 leaves the body of such an answer open (section 10.5.3); only a store response, which names
objects, has a form of its own. The words are English, since they end up in the log of a program.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from edge.errors import EdgeError, StorageError

_TOLD: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        400: ("bad_request", "The request is malformed, or not for this host."),
        403: ("foreign_page", "A page of another site may not send this."),
        404: ("no_address", "There is nothing at this address."),
        405: ("other_method", "This address takes images by POST."),
        408: ("too_slow", "The request took too long. Send fewer images in one."),
        413: ("too_large", "The request is larger than this address takes."),
        415: ("other_type", 'Send images as multipart/related; type="application/dicom".'),
        431: ("long_header", "The header of the request is too long."),
        503: ("busy", "The box takes as many requests as it can. Try again later."),
        507: ("no_room", StorageError.texts["no_room"]),
    }
)
_FAULT = ("fault", "The box could not do this.")


def told(status: int, error: Exception | None = None) -> str:
    """The body of an answer, as JSON; ``error`` is what the box itself says, where it does."""
    code, reason = _TOLD.get(status, _FAULT)
    if isinstance(error, EdgeError):
        code, reason = error.code, error.text % error.values
    return json.dumps({"status": status, "code": code, "reason": reason})
