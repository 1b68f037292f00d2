from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.exports import small_objects

__all__ = ["small_objects"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """pynetdicom leaves a socket that it could not connect to the garbage collector, which warns."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning"))


@pytest.fixture(autouse=True)
def _swept() -> Iterator[None]:
    """No such socket is left for the tests of others."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
