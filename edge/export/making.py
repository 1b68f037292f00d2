"""Makes each object once, as a file beside its result; it is sent from there ever after.

One identifier never has two contents, also where another version of the software would make the object
differently; only a file that was damaged on the disk is made again. Rejected: making it at each try.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

from pydicom import dcmread
from sqlite_utils import Database

from edge import log
from edge.config import DestinationSettings, Settings
from edge.dicom.source import source_header
from edge.errors import EdgeError, ObjectError, SendError, SetupError, StorageError
from edge.objects import receipt
from edge.objects.case import Case, kinds, load_view, make, whole_file
from edge.objects.tomography.slices import Slices
from edge.store import outbox, signing, stack, studies, troubles
from edge.store.files import make_folders, write_durably
from edge.store.outbox import Item
from edge.store.stack import StackFile
from edge.types import Kind


class Maker:
    """Makes objects; used by the threads of all destinations, one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()

    def ensure(self, database: Database, item: Item, destination: DestinationSettings) -> bool:
        """Have the file of an object; False where there is none to send, which is then noted.

        Raises
        ------
        SetupError
            The key of the receipts cannot be used; the object is not at fault.
        StorageError
            The disk or the database cannot be written; the object is not at fault.
        """
        with self._lock:
            path = outbox.path_of(self._settings, item)
            if item.sha256 and item.sha256 == _digest(path):
                return True
            if item.makings >= outbox.MAX_MAKINGS:
                outbox.bury(database, item, destination, troubles.trouble(SendError("not_made")))
                return False
            outbox.make(database, item)
            return self._made(database, item, destination, path)

    def _made(self, database: Database, item: Item, destination: DestinationSettings, path: Path) -> bool:
        try:
            is_damaged = bool(item.sha256)
            if (is_damaged or not path.exists()) and not self._write(database, item, path):
                outbox.drop(database, item)
                return False
            return self._noted(database, item, path)
        except (StorageError, SetupError):
            outbox.not_begun(database, item)
            raise
        except ObjectError as error:
            failed: EdgeError = error
        except Exception as error:  # whatever a header does to the making, the next object gets its turn
            log.event("not_made", study_id=item.study_id, error_type=type(error).__name__, where=log.where(error))
            failed = SendError("not_made")
        path.unlink(missing_ok=True)  # one that cannot be read is not taken for made by a retry
        outbox.bury(database, item, destination, troubles.trouble(failed))
        return False

    def _write(self, database: Database, item: Item, path: Path) -> bool:
        case = _case(database, self._settings, item)
        if item.kind not in kinds(case):
            return False
        content = whole_file(make(case, item.kind))
        try:
            make_folders(path.parent)
        except OSError as error:
            raise StorageError("write_failed") from error
        write_durably(path, [content])
        return True

    def _noted(self, database: Database, item: Item, path: Path) -> bool:
        meta = dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID", "SOPInstanceUID"])
        if outbox.made(database, item, str(meta.SOPClassUID), str(meta.SOPInstanceUID), _digest(path)):
            return True
        shutil.rmtree(path.parent.parent, ignore_errors=True)  # its study was deleted meanwhile
        return False


def _digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal; empty where it is gone or cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _case(database: Database, settings: Settings, item: Item) -> Case:
    row = database.execute(
        """SELECT result, accession_number FROM results JOIN studies ON studies.id = study_id
           WHERE study_id = ? AND results.version = ?""",
        (item.study_id, item.version),
    ).fetchone()
    if row is None:
        raise ObjectError("nothing_to_show")
    report, box_id = json.loads(row["result"]), signing.box_id(settings)
    paths = [settings.incoming / Path(path).name for path in report.get("source") or [""]]
    source = source_header(paths[0])
    if not source.get("AccessionNumber") and row["accession_number"]:  # of the worklist
        source.AccessionNumber = row["accession_number"]
    signed = receipt.UNSIGNED
    if item.kind is Kind.PDF:  # no other kind shows it
        signed = receipt.issue(signing.private_key(settings), box_id, item.study_key, item.version, report)
    return Case(
        report=report,
        study_key=item.study_key,
        version=item.version,
        source=source,
        view=load_view(studies.preview_path(settings, item.study_key, item.version)),
        box_id=box_id,
        language=settings.web.language,
        paper=settings.web.paper,
        receipt=signed,
        slices=_slices(stack.opened(studies.stack_path(settings, item.study_key, item.version)), paths),
    )


def _slices(pictures: StackFile | None, paths: Sequence[Path]) -> Slices | None:
    return Slices(pictures=pictures, headers=lambda: map(source_header, paths)) if pictures else None
