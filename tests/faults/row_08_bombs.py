"""Row 8: files that ask for much more than they are."""

from __future__ import annotations

from edge.dicom.reader import FILE_S, MEMORY_BYTES, Reader
from tests.faults.row import Outcome, Row, Trial
from tests.faults.watched import Watched
from tests.support import inputs
from tests.support.bombs import BOMBS


def run(trial: Trial) -> Outcome:
    """Read each bomb by itself, and a good file after it by whichever child there is then."""
    watched, good = Watched(), Watched()
    path, whole = trial.folder / "bomb", inputs.chest_dicom(trial.folder / "good.dcm")
    with Reader() as reader:
        for name, write in BOMBS.items():
            watched.read(reader, write(path), name)
            good.read(reader, whole)
    figure = f"{len(BOMBS)} bombs: {watched.told()}; a good file after each: {good.outcomes['read']} read"
    within = watched.peak_bytes <= MEMORY_BYTES and (not trial.is_long or watched.slowest_s <= FILE_S + 1)
    return Outcome(figure=figure, ok=within and good.outcomes["read"] == len(BOMBS) and not watched.escapes)


ROW = Row(number=8, goal="bombs (deflate, 65535 x 65535, JPEG 2000 and others): RSS <= 512 MiB", run=run)
