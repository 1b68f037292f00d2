from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from edge.config import Settings
from edge.web.app import create_app


@pytest.fixture
def client(box: Settings) -> FlaskClient:
    return create_app(box).test_client()
