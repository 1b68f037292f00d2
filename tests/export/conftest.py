from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import unclosed
from tests.support.exports import small_objects
from tests.support.unclosed import swept

__all__ = ["small_objects", "swept"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    unclosed.tolerate(items, Path(__file__).parent)
