"""Which earlier study a new one is compared with: never one of another patient."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from sqlite_utils import Database

from edge.config import Settings
from edge.store import queue
from edge.store.priors import prior
from edge.types import State
from tests.support.studies import put_finished_study, put_ready_study

SEVERITY = {"brixia": 5, "zones": {"right_upper": 1}, "grade": "mild"}


def finished(box: Settings, severity: dict[str, Any] | None = SEVERITY, **changes: Any) -> str:
    result = {"severity": severity, "stages": [{"name": "severity", "model_sha256": "ab"}]}
    return put_finished_study(box, result, **{"patient_name": "Example^Pat", **changes})


def prior_of(database: Database, **attributes: Any) -> dict[str, Any] | None:
    """The prior of a new study with these attributes."""
    put_ready_study(database, **{"patient_name": "Example^Pat", **attributes})
    claimed = queue.claim(database)
    assert claimed is not None
    return dict(claimed.prior) if claimed.prior else None


def test_the_newest_earlier_severity_comes_with_its_study(box: Settings, database: Database) -> None:
    finished(box, {"brixia": 9})
    key = finished(box)
    found = prior_of(database)
    assert found is not None
    assert found["completed_at"].startswith("20")
    assert found == {
        **SEVERITY,
        "study_key": key,
        "version": 1,
        "completed_at": found["completed_at"],
        "acquired_at": None,
        "method": None,
        "models": {"severity": "ab"},
    }


def test_a_study_without_number_name_or_birth_date_has_no_prior(box: Settings, database: Database) -> None:
    for absent in ({"patient_id": ""}, {"patient_name": ""}, {"birth_date": None}):
        finished(box, **absent)
        assert prior_of(database, **absent) is None


@pytest.mark.parametrize(
    "part",
    [{"classification": {"decision": "refer"}}, {"quality": [{"code": "mirrored"}]}],
    ids=["an abstention", "a mirrored image"],
)
def test_a_reading_that_cannot_be_compared_is_passed_over(
    box: Settings, database: Database, part: dict[str, Any]
) -> None:
    key = finished(box)
    put_finished_study(box, {"severity": {"brixia": 1}, **part}, patient_name="Example^Pat")
    found = prior_of(database)
    assert found is not None and found["study_key"] == key


@pytest.mark.parametrize(
    "earlier",
    [
        {"patient_id": "P-0043"},
        {"birth_date": date(1961, 5, 5)},
        {"patient_name": "Example^Patricia"},
        {"sex": "M"},
        {"birth_date": None},
        {"patient_name": ""},
    ],
    ids=["number", "birth date", "name", "sex", "no birth date", "no name"],
)
def test_another_patient_is_never_compared_with(box: Settings, database: Database, earlier: dict[str, Any]) -> None:
    finished(box, **earlier)
    assert prior_of(database) is None


def test_patients_without_a_number_are_never_taken_for_one(box: Settings, database: Database) -> None:
    finished(box, patient_id="")
    assert prior_of(database, patient_id="") is None


@pytest.mark.parametrize(
    "earlier",
    [
        {"sex": ""},
        {"patient_name": "EXAMPLE^PAT"},
        {"patient_name": "Example^Pat=例^太郎"},
    ],
    ids=["no sex", "capitals", "further group"],
)
def test_what_is_only_written_otherwise_is_no_other_patient(
    box: Settings, database: Database, earlier: dict[str, Any]
) -> None:
    finished(box, **earlier)
    assert prior_of(database) is not None


def test_a_study_without_a_severity_is_passed_over(box: Settings, database: Database) -> None:
    key = finished(box)
    finished(box, None)
    finished(box, {"brixia": 18}, state=State.NO_RESULT)
    found = prior_of(database)
    assert found is not None and found["study_key"] == key


def test_a_study_that_came_later_or_is_the_same_is_no_prior(box: Settings, database: Database) -> None:
    first = put_ready_study(database, study_instance_uid="1.2.3", patient_name="Example^Pat")
    claimed = queue.claim(database)
    assert claimed is not None and claimed.study_key == first
    queue.release(database)
    database.execute("UPDATE studies SET state = 'parsed'")
    database.conn.commit()
    finished(box)
    assert prior_of(database, study_instance_uid="1.2.3") is None
    queue.release(database)
    finished(box, study_instance_uid="1.2.3")
    assert prior_of(database, study_instance_uid="1.2.3") is None


def test_a_study_that_came_later_and_was_taken_earlier_is_the_prior(box: Settings, database: Database) -> None:
    put_ready_study(database, study_instance_uid="1.2.3", patient_name="Example^Pat", acquired_at=datetime(2026, 3, 5))
    claimed = queue.claim(database)
    assert claimed is not None and claimed.prior is None
    older = finished(box, {"brixia": 3}, acquired_at=datetime(2026, 3, 4, 23, 59))
    finished(box, {"brixia": 4}, acquired_at=datetime(2026, 3, 4))
    finished(box, {"brixia": 5}, acquired_at=datetime(2026, 3, 6))
    finished(box, {"brixia": 6})
    found = prior(database, claimed.study_id)
    assert found is not None and (found["study_key"], found["acquired_at"]) == (older, "2026-03-04T23:59:00")


def test_where_one_study_tells_no_time_the_order_of_arrival_decides(box: Settings, database: Database) -> None:
    key = finished(box, acquired_at=datetime(2030, 1, 1))
    found = prior_of(database, acquired_at=None)
    assert found is not None and found["study_key"] == key


def test_the_newest_version_of_an_earlier_study_counts(box: Settings, database: Database) -> None:
    finished(box, {"brixia": 2}, study_instance_uid="1.2.3")
    finished(box, {"brixia": 7}, study_instance_uid="1.2.3")
    found = prior_of(database)
    assert found is not None and found["brixia"] == 7
