"""Many storescu start at once, each with an image of its own; whoever is turned away comes again, as a unit does."""

from __future__ import annotations

import hashlib
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from edge.store.database import connect
from tests.faults.row import Outcome, Row, Trial
from tests.support import inputs
from tests.support.box import storescu
from tests.support.receivers import Receiver, receiver

_TRIES = 200


def run(trial: Trial) -> Outcome:
    """Send, and compare the hash of each object that is stored with that of its file."""
    count = trial.count(30, 200)
    paths = images(trial.folder, count)
    with receiver(trial.folder) as box:
        started = time.monotonic()
        tries = send_all(box.port, paths, trial.seed)
        seconds = time.monotonic() - started
        equal = _hashes_of_files(paths) & _hashes_in_store(box)
    done = sum(number > 0 for number in tries)
    figure = (
        f"{done} of {count} storescu at once done in {seconds:.1f} s, "
        f"{sum(number == 1 for number in tries)} at the first try, most tries {max(tries)}; "
        f"{len(equal)} of {count} equal by SHA-256"
    )
    return Outcome(figure=figure, ok=done == len(equal) == count)


def images(folder: Path, count: int) -> list[Path]:
    """Small radiographs, no two alike."""
    return [_image(folder / f"{number}.dcm", number) for number in range(count)]


def send_all(port: int, paths: list[Path], seed: int) -> list[int]:
    """Send each file by a sender of its own, all at once; how often each had to try, 0 where in vain."""
    with ThreadPoolExecutor(len(paths)) as pool:
        seeds = [seed + number for number in range(len(paths))]
        return list(pool.map(lambda path, own: _persist(port, path, own), paths, seeds))


def _image(path: Path, number: int) -> Path:
    pixels = np.full((128, 128), number, np.uint16)
    return inputs.save(inputs.dx(pixels), path)


def _persist(port: int, path: Path, seed: int) -> int:
    randomly = random.Random(seed)
    for number in range(1, _TRIES):
        if storescu(port, [path]) == 0:
            return number
        time.sleep(randomly.uniform(0.05, 0.5))
    return 0


def _hashes_of_files(paths: list[Path]) -> set[str]:
    return {hashlib.sha256(_content(path.read_bytes())).hexdigest() for path in paths}


def _content(file: bytes) -> bytes:
    # PS3.10 section 7.1: preamble, DICM, then (0002,0000) with the length of the rest of its group.
    return file[144 + int.from_bytes(file[140:144], "little") :]


def _hashes_in_store(box: Receiver) -> set[str]:
    with connect(box.settings.database) as database:
        kept = database.execute("SELECT path, sha256, size_bytes FROM instances").fetchall()
    found = ((box.settings.incoming / path).read_bytes()[-size:] for path, _, size in kept)
    return {digest for (_, digest, _), content in zip(kept, found, strict=True) if _is(digest, content)}


def _is(digest: str, content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == digest


ROW = Row(number=9, goal="200 associations at once: all 200 done with the sender's retry, sha256 equal", run=run)
