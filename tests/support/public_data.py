"""Where the public images of the recipes lie, for tests that need them; they are not part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("CHEST_EDGE_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_public_data = pytest.mark.skipif(
    not (ROOT / "cxr").is_dir(), reason="needs ../shared/data (or CHEST_EDGE_DATA) with cxr/"
)
