"""Row 27: identifiers that are paths, commands and worse; no file may appear outside of the spool.

Each of them holds a word that is looked for in the names of files afterwards: wherever a file
could be written by such an identifier, and in the whole folder of the trial.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir
from unittest.mock import patch
from warnings import catch_warnings, simplefilter

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.association import Association

from tests.faults.row import Outcome, Row, Trial
from tests.support.box import box_settings, echoscu, eventually, served
from tests.support.ledger import Ledger, associate, faults, small_image, store

_EXPECTED = re.compile(
    r"incoming/[0-9a-f]{32}\.dcm|results/[0-9a-f]{32}/\d+/\w+\.(jpg|png)|run/[\w./-]+|chest-edge\.sqlite(-wal|-shm)?|clock|reserve"
    r"|(audit|certificates|ca|tls)/[\w./-]+"
)
_FORMS = (
    "../{word}",
    "../../../../../../{word}",
    "{folder}/{word}",
    "{folder}/../{word}",
    "/{word}",
    "//{word}",
    "..\\..\\{word}",
    "C:\\{word}",
    "%2e%2e%2f{word}",
    "..%c0%af{word}",
    "....//{word}",
    "./{word}/..",
    "{word}\0.dcm",
    "{word}\n.dcm",
    "~/{word}",
    "-{word}",
    "$(touch {word})",
    "`touch {word}`",
    ";touch {word};",
    "|touch {word}",
    "file:///{word}",
    "'; DROP TABLE instances; -- {word}",
    "1.2.3/{word}",
    "{word}" + "/x" * 25,
    "{word}" * 40,
    "",
)
_PATIENCE_S = 900  # each of them is read
_KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "PatientID", "AccessionNumber", "PatientName", "StudyID")


def _run(trial: Trial) -> Outcome:
    count, chance, ledger = trial.count(26, 1000), trial.random(), Ledger()
    word = f"canary{chance.getrandbits(32):08x}"
    settings = box_settings(trial.folder / "var")
    with served(settings) as box, catch_warnings():
        simplefilter("ignore")  # the library says what is wrong with them
        association = associate(box.receiver_port)
        for number in range(count):
            if not association.is_established:
                association = _association(box.receiver_port, _hostile(chance, word, trial.folder)[:16])
            dataset = _image(chance, word, trial.folder, _FORMS[number % len(_FORMS)])
            with patch("pynetdicom.dimse_primitives.set_uid", lambda uid, *rules, **more: uid):
                ledger.write(dataset, store(association, dataset))
            if number % 50 == 49:
                association.release()
        association.release()
        eventually(
            lambda: not any(row.state.value in {"received", "ready", "running"} for row in box.rows()), _PATIENCE_S
        )
        alive = echoscu(box.receiver_port) == 0
    strange = [str(path) for path in _everything(settings.data_dir) if not _EXPECTED.fullmatch(str(path))]
    escaped = [path for path in _within_reach(trial.folder) if word in path.name]
    found = faults(settings, ledger)
    figure = (
        f"{count} hostile identifiers, {ledger.statuses[0]} acknowledged: {len(escaped) + len(strange)} files outside "
        f"of the spool, {len(found)} acknowledged and lost"
    )
    return Outcome(figure=figure, ok=alive and not strange and not escaped and not found and ledger.statuses[0] > 0)


def _hostile(chance: random.Random, word: str, folder: Path) -> str:
    return chance.choice(_FORMS).format(word=word, folder=folder)


def _image(chance: random.Random, word: str, folder: Path, form: str) -> Dataset:
    dataset = small_image(chance)
    for keyword in _KEYWORDS:
        limit = 16 if keyword in {"AccessionNumber", "StudyID"} else 64
        setattr(dataset, keyword, _hostile(chance, word, folder).replace("\\", "/")[:limit])
    dataset.SOPInstanceUID = UID(form.format(word=word, folder=folder) + f"{chance.getrandbits(64)}", validation_mode=0)
    return dataset


def _association(port: int, title: str) -> Association:
    try:
        return associate(port, title)
    except ValueError:  # no peer can write such a title into a request
        return associate(port)


def _everything(folder: Path) -> Iterator[Path]:
    return (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())


def _within_reach(folder: Path) -> Iterator[Path]:
    yield from (path for path in folder.rglob("*"))
    for place in (Path("/"), Path(gettempdir()), Path.home(), Path.cwd(), *Path.cwd().parents, *folder.parents):
        yield from place.iterdir()


ROW = Row(number=27, goal="1,000 hostile identifiers: no file outside the spool", run=_run)
