"""Storage commitment: asking for it, and what the other side reports (PS3.4 annex J, PS3.3 section C.14).

A report comes on the association of the request, or days later on a new one to the box's receiver. Only a
transaction that the box itself began counts; its identifier is random. Rejected: believing a report
from whoever has the right AE title, which anybody can claim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID

from edge import log
from edge.errors import StorageError
from edge.store import outbox
from edge.store.database import opened

PUSH_MODEL = UID("1.2.840.10008.1.20.1")
INSTANCE = UID("1.2.840.10008.1.20.1.1")
"""The well-known instance that is asked (PS3.4 section J.3.5)."""
ACTION = 1
_SUCCESS, _PROCESSING_FAILURE, _NO_SUCH_EVENT, _INVALID_ARGUMENT = 0x0000, 0x0110, 0x0113, 0x0115
_ALL_KEPT, _SOME_LOST = 1, 2
_MOST = 10_000


def request(transaction_uid: str, items: Iterable[outbox.Item]) -> Dataset:
    """The action information of an N-ACTION (PS3.4 table J.3-1)."""
    asked = Dataset()
    asked.TransactionUID = transaction_uid
    asked.ReferencedSOPSequence = [_reference(item) for item in items]
    return asked


def handler(database: Path, changed: Callable[[int], None]) -> Callable[[Any], tuple[int, None]]:
    """What answers an N-EVENT-REPORT, once what it says is durable (PS3.4 table J.3-2).

    Parameters
    ----------
    changed : told that something did, from any thread.
    """

    def answer(event: Any) -> tuple[int, None]:
        try:
            status = _take(database, event)
        except StorageError as error:
            log.event("report_refused", code=error.code)
            status = _PROCESSING_FAILURE
        except Exception as error:  # whatever a peer sends
            log.event("report_failed", error_type=type(error).__name__, where=log.where(error))
            status = _INVALID_ARGUMENT
        if status == _SUCCESS:
            changed(0)
        return status, None

    return answer


def _take(database: Path, event: Any) -> int:
    if event.request.EventTypeID not in (_ALL_KEPT, _SOME_LOST):
        return _NO_SUCH_EVENT
    told = _report(event.event_information)
    with opened(database) as connection:
        is_known = outbox.report(connection, told)
    log.event("commitment_reported", count=len(told.kept), lost=len(told.denied), code="" if is_known else "unknown")
    return _SUCCESS if is_known else _INVALID_ARGUMENT


def _report(told: Dataset) -> outbox.Report:
    kept = [str(one.ReferencedSOPInstanceUID) for one in (told.get("ReferencedSOPSequence") or [])[:_MOST]]
    failed = (told.get("FailedSOPSequence") or [])[:_MOST]
    denied = {str(one.ReferencedSOPInstanceUID): int(one.get("FailureReason") or 0) for one in failed}
    return outbox.Report(transaction_uid=str(told.TransactionUID), kept=set(kept) - denied.keys(), denied=denied)


def _reference(item: outbox.Item) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = item.sop_class_uid
    reference.ReferencedSOPInstanceUID = item.sop_instance_uid
    return reference
