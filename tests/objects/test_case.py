"""Which objects a result can have."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from edge.errors import ObjectError
from edge.objects.case import Case, kinds, make
from edge.types import Kind
from tests.support.results import complete_result


@pytest.mark.parametrize("state", ["failed", "quarantined"])
def test_what_was_not_read_has_no_object(state: str) -> None:
    case = Case(
        report=complete_result(state=state),
        study_key="0" * 32,
        version=1,
        source=Dataset(),
        view=np.zeros((8, 8), dtype=np.uint8),
        box_id="1" * 32,
        language="en",
    )
    assert kinds(case) == ()
    with pytest.raises(ObjectError):
        make(case, Kind.SECONDARY_CAPTURE)
