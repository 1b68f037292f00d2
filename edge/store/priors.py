"""The earlier radiograph that a new one is compared with.

A comparison across patients would be worse than none, and clinics reuse patient numbers:
birth date and name must agree too wherever both studies give them. "Earlier" goes by the
order of arrival, since the clock of a box without a network may stand wrong; a study that
was taken earlier but sent later is therefore not found.
"""

from __future__ import annotations

import json
from typing import Any

from sqlite_utils import Database


def prior(database: Database, study_id: int) -> dict[str, Any] | None:
    """The newest earlier severity of the same patient, or None.

    Returns
    -------
    The ``severity`` of that study's newest finished result (``chest-edge/result/1``), with its
    ``study_key`` and ``completed_at``.
    """
    study = database.execute("SELECT * FROM studies WHERE id = ?", (study_id,)).fetchone()
    if not study["patient_id"].strip():
        return None
    rows = database.execute(
        """SELECT studies.*, json_extract(result, '$.severity') AS severity
           FROM studies JOIN results ON results.study_id = studies.id AND results.version = studies.version
           WHERE patient_id = ? AND studies.id < ? AND studies.state = 'done' AND severity IS NOT NULL
           ORDER BY studies.id DESC""",
        (study["patient_id"], study_id),
    )
    return next((_described(row) for row in rows if _is_same_patient(row, study)), None)


def _is_same_patient(one: Any, other: Any) -> bool:
    pairs = [(one["birth_date"], other["birth_date"]), (_name(one), _name(other))]
    return all(not a or not b or a == b for a, b in pairs)


def _name(row: Any) -> str:
    """The alphabetic group of a person name without what differs between senders (PS3.5, section 6.2.1)."""
    return " ".join(row["patient_name"].split("=")[0].replace("^", " ").casefold().split())


def _described(row: Any) -> dict[str, Any]:
    return {
        **json.loads(row["severity"]),
        "study_key": row["study_key"],
        "completed_at": row["completed_at"],
    }
