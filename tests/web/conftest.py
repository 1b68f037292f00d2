from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from edge.config import Settings
from edge.web.app import create_app
from tests.support.studies import ready_box


@pytest.fixture
def box(tmp_path: Path) -> Settings:
    return ready_box(tmp_path)


@pytest.fixture
def client(box: Settings) -> FlaskClient:
    return create_app(box).test_client()
