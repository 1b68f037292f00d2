"""The process that opens files of strangers: ``python -m edge.dicom.child MEMORY_BYTES FILE_S PARENT_PID``.

Reads one request a line on standard input, ``{"path", "pixels"}``, writes the pixels to
the file named there (none where only the header is asked for) and one reply a line to
standard output. With the key ``slices``, a CT image is read as such; of one with many frames, a line
``{"seconds"}`` comes before the reply and says how long it may take. With the key ``directory``, the file is
read as a DICOMDIR; with ``disguise``, it is written anew without its patient. A file that needs
more than the process may use ends the request, or the process; the parent starts another.
Codecs that print, and crash dumps that hold images, find nowhere to write to.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import resource
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

from edge import log
from edge.dicom.limits import MAX_SIDE_PX, MAX_VOXELS
from edge.errors import UnreadableError
from edge.lifeline import die_with_parent
from edge.store.files import NO_SPACE

_PR_SET_NO_NEW_PRIVS = 38
_MAX_FILES = 64
_CODES: tuple[tuple[type[Exception], str], ...] = (
    (PermissionError, "unopenable"),
    (OSError, "not_dicom"),
    (MemoryError, "too_much_memory"),
    (RecursionError, "too_deep"),
)


def main() -> None:
    """Serve requests until standard input ends."""
    die_with_parent(int(sys.argv[3]))
    replies = _private_output()
    _limit(int(sys.argv[1]))
    log.silence_libraries()
    warnings.simplefilter("ignore")  # pydicom's warnings hold element values
    file_s = float(sys.argv[2])

    def allow(further_s: float) -> None:
        _limit_time(file_s + further_s)
        _send(replies, {"seconds": file_s + further_s})

    answer = _answerer(allow)
    _send(replies, {"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        _limit_time(file_s)
        pixels = Path(request["pixels"]) if request["pixels"] else None
        _send(replies, answer(Path(request["path"]), pixels, request))


def _private_output() -> TextIO:
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return replies


def _limit(memory_bytes: int) -> None:
    largest_file = max(4 * MAX_SIDE_PX**2, 2 * MAX_VOXELS)
    for kind, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, largest_file),
        (resource.RLIMIT_NOFILE, _MAX_FILES),
    ):
        resource.setrlimit(kind, (limit, limit))
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _limit_time(seconds: float) -> None:
    # The parent watches the clock on the wall; this ends a decoder that runs on where the parent is stopped.
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 1, resource.RLIM_INFINITY))


def _answerer(allow: Callable[[float], None]) -> Callable[[Path, Path | None, dict[str, Any]], dict[str, Any]]:
    # Imported under the limits, so that the start is the only time they are loaded.
    from PIL import Image
    from pydicom import config

    from edge.dicom.directory import list_directory
    from edge.dicom.image import UnreadableImageError, header_to_json
    from edge.dicom.parse import parse_header

    Image.MAX_IMAGE_PIXELS = None  # sizes are checked before decoding, with a reason of their own
    config.settings.reading_validation_mode = config.IGNORE

    def found(path: Path, pixels: Path | None, request: dict[str, Any]) -> dict[str, Any]:
        if "directory" in request:
            return list_directory(path)
        if "disguise" in request:
            return _disguised(path, request)
        if pixels is None:
            return {"header": header_to_json(parse_header(path))}
        return _slices(path, pixels, allow) if "slices" in request else _radiograph(path, pixels)

    def answer(path: Path, pixels: Path | None, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return found(path, pixels, request)
        except UnreadableError as error:
            header = error.header if isinstance(error, UnreadableImageError) else None
            return {"error": error.code, "values": error.values, "header": header_to_json(header) if header else None}
        except Exception as error:  # a broken file found a way that the parser does not know
            code = next((code for kind, code in _CODES if isinstance(error, kind)), "undecodable")
            return {"error": code, "values": {}, "header": None}

    return answer


def _radiograph(path: Path, pixels: Path) -> dict[str, Any]:
    from edge.dicom.image import header_to_json, radiograph_to_json
    from edge.dicom.parse import parse

    image, bands = parse(path)
    told = {"header": header_to_json(image), "radiograph": radiograph_to_json(image)}
    return _saved(pixels, bands, 4 * math.prod(image.shape)) or told


def _slices(path: Path, pixels: Path, allow: Callable[[float], None]) -> dict[str, Any]:
    from edge.dicom.image import header_to_json
    from edge.dicom.limits import VOXELS_PER_S
    from edge.dicom.parse import parse_slices

    found = parse_slices(path)
    if found is None:
        return _radiograph(path, pixels)
    image, slices = found
    voxels = math.prod(image.shape)
    if image.shape[0] > 1:
        allow(voxels / VOXELS_PER_S)
    return _saved(pixels, slices, 2 * voxels) or {"header": header_to_json(image), "slices": image.shape}


def _saved(pixels: Path, bands: Iterable[Any], size_bytes: int) -> dict[str, Any] | None:
    """Why the pixels could not be written, or None."""
    try:
        _save(pixels, bands)
    except _UnwritableError:
        return {"unwritable": True}
    except _FullError:
        return {"needed_bytes": size_bytes}
    return None


def _disguised(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    from edge.dicom.anonymous import reply  # seldom asked for

    return reply(path, Path(request["pixels"]), request["disguise"])


class _FullError(Exception):
    """The pixels have no room on the disk; the file is not at fault."""


class _UnwritableError(Exception):
    """The pixels cannot be written for another reason; the file is not at fault."""


def _save(pixels: Path, bands: Iterable[Any]) -> None:
    for number, band in enumerate(bands):
        try:
            with pixels.open("ab" if number else "wb") as file:
                file.write(band.data)
        except OSError as error:
            if error.errno in NO_SPACE:
                raise _FullError from error
            raise _UnwritableError from error


def _send(replies: TextIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
