"""For folders of tests in which pynetdicom leaves sockets that it could not connect to the garbage collector."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest


def tolerate(items: list[pytest.Item], folder: Path) -> None:
    """Have no test of this folder fail for the warning about such a socket."""
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning"))


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    """No such socket is left for the tests of others."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
