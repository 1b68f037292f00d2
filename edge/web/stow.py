"""STOW-RS, the Store transaction of DICOMweb (PS3.18 section 10.5): images that programs bring by HTTP.

Each part goes into the spool as it is read, undecoded. The page listens on the loopback address
only, so the program has to run on the box itself, or come through a tunnel that somebody set up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, abort, json, request
from werkzeug.http import parse_options_header
from werkzeug.routing import BaseConverter

from edge import log
from edge.config import Settings
from edge.dicom.reader import Reader
from edge.dicom.storage_classes import STORAGE_CLASSES
from edge.errors import BodyError, StorageError, UnreadableError
from edge.store.associations import Way
from edge.store.files import scratch_file
from edge.store.part10 import WholeFile, take_apart
from edge.store.spool import PREAMBLE, Delivery, Spool
from edge.web.multipart import Parts

MOST_PARTS = 5000
_NO_ROOM, _CANNOT_UNDERSTAND, _OTHER_STUDY, _CLASS_NOT_SUPPORTED = 0xA700, 0xC000, 0xC001, 0x0122
_DEFLATED = "1.2.840.10008.1.2.1.99"
_SYNTAX_NOT_SUPPORTED = 0xC122


class UidConverter(BaseConverter):
    """A DICOM unique identifier in an address; it is compared, and never kept or logged."""

    regex = "[0-9.]{1,64}"


class _NotStoredError(Exception):
    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class _Answer:
    """The Store Instances Response Module (PS3.18 table 10.5.3-1) as it grows."""

    stored: list[Delivery] = field(default_factory=list)
    failed: list[tuple[Delivery, int]] = field(default_factory=list)
    broken: BodyError | None = None

    @property
    def status(self) -> int:
        if self.broken:
            return 400
        if not self.failed:
            return 200
        if self.stored:
            return 202
        return 507 if any(reason == _NO_ROOM for _, reason in self.failed) else 409

    def as_json(self) -> dict[str, Any]:
        named = [(d, reason) for d, reason in self.failed if d.sop_instance_uid]
        others = [reason for delivery, reason in self.failed if not delivery.sop_instance_uid]
        others += [_CANNOT_UNDERSTAND] if self.broken else []
        sequences = {
            "00081198": [_reference(delivery) | {"00081197": _value("US", reason)} for delivery, reason in named],
            "00081199": [_reference(delivery) for delivery in self.stored],
            "0008119A": [{"00081197": _value("US", reason)} for reason in others],
        }
        found = {tag: {"vr": "SQ", "Value": items} for tag, items in sequences.items() if items}
        return {"00081190": {"vr": "UR"}, **found}


class Stow:
    """The view, bound to one box.

    Parameters
    ----------
    wake : told the id of whatever was stored, from any thread.
    """

    def __init__(self, settings: Settings, wake: Callable[[int], None]) -> None:
        self._settings = settings
        self._wake = wake

    def blueprint(self) -> Blueprint:
        """The two addresses of the transaction."""
        pages = Blueprint("stow", __name__)
        pages.add_url_rule("/dicomweb/studies", "store", self.store, methods=["POST"])
        pages.add_url_rule("/dicomweb/studies/<uid:study>", "store", self.store, methods=["POST"])
        return pages

    def store(self, study: str | None = None) -> Response:
        """Store the parts of a request, all of which have to be of that study where one is named.

        Raises
        ------
        BodyError
            Where the body breaks before its first part has ended.
        """
        parts, answer = Parts(request.stream, _boundary()), _Answer()
        with ExitStack() as stack:
            spool = stack.enter_context(closing(Spool(self._settings, self._wake)))
            check = stack.enter_context(_StudyCheck(study, self._settings.run_dir))
            try:
                with spool.together(way=Way.PROGRAM) as number:
                    self._store_all(parts, answer, lambda pieces: _keep(spool, check, pieces, number))
            except BodyError as error:
                answer.broken = error
        log.event("stow", status=answer.status, count=len(answer.stored))
        if answer.broken and not (answer.stored or answer.failed):
            raise answer.broken
        warning = {"Warning": f'299 chest-edge "{answer.broken}"'} if answer.broken else {}
        return Response(json.dumps(answer.as_json()), answer.status, warning, mimetype="application/dicom+json")

    def _store_all(
        self, parts: Parts, answer: _Answer, keep: Callable[[Iterator[bytes]], tuple[Delivery, int]]
    ) -> None:
        count = 0
        for count, pieces in enumerate(parts, start=1):
            if count > MOST_PARTS:
                raise BodyError("too_many_parts", limit=MOST_PARTS)
            delivery, reason = keep(pieces)
            if reason:
                answer.failed.append((delivery, reason))
            else:
                answer.stored.append(delivery)
        if not count:
            raise BodyError("no_part")


class _StudyCheck:
    """Whether an object is of the study that the address names; its header is read in the limited child process."""

    def __init__(self, study: str | None, folder: Path) -> None:
        self._study = study
        self._folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> _StudyCheck:
        if self._study is not None:
            self._reader = self._stack.enter_context(Reader(folder=self._folder))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __call__(self, whole: WholeFile) -> None:
        if self._study is None:
            return
        with scratch_file(self._folder) as scratch:
            scratch.writelines((PREAMBLE, whole.file_meta, whole.head))
            scratch.flush()
            if self._reader.read_header(Path(scratch.name)).study_instance_uid != self._study:
                raise _NotStoredError(_OTHER_STUDY)


def _boundary() -> bytes:
    kind, options = parse_options_header(request.headers.get("Content-Type"))
    if kind != "multipart/related" or options.get("type", "").lower() != "application/dicom":
        abort(415)
    boundary = options.get("boundary", "").encode("latin-1", "ignore")
    if not 1 <= len(boundary) <= 70:
        raise BodyError("no_boundary")
    return boundary


def _keep(spool: Spool, check: _StudyCheck, pieces: Iterator[bytes], number: int) -> tuple[Delivery, int]:
    """Keep one part; what it says it is, and 0 or the reason why it was not kept (PS3.18 table I.2-2)."""
    delivery = Delivery()
    try:
        whole = take_apart(pieces)
        delivery = replace(whole.delivery, association_id=number)
        if delivery.sop_class_uid not in STORAGE_CLASSES:
            raise _NotStoredError(_CLASS_NOT_SUPPORTED)
        if delivery.transfer_syntax_uid == _DEFLATED:
            raise _NotStoredError(_SYNTAX_NOT_SUPPORTED)
        check(whole)
        spool.keep(whole.file_meta, whole.content, delivery)
    except _NotStoredError as error:
        return delivery, error.reason
    except UnreadableError:
        return delivery, _CANNOT_UNDERSTAND
    except StorageError as error:
        log.event("store_refused", code=error.code, status=_NO_ROOM)
        return delivery, _NO_ROOM
    return delivery, 0


def _reference(delivery: Delivery) -> dict[str, Any]:
    return {
        "00081150": _value("UI", delivery.sop_class_uid),
        "00081155": _value("UI", delivery.sop_instance_uid),
    }


def _value(vr: str, value: str | int) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]}
