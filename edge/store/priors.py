"""The earlier radiograph that a new one is compared with.

A comparison across patients would be worse than none, and clinics reuse patient numbers:
both studies must give number, name and birth date, all three must agree, and the sexes must
not contradict each other. A reading that made no claim, or whose image may be mirrored, is
no prior. "Earlier" goes by the order of arrival, since the clock of a box without a network
may stand wrong; a study that was taken earlier but sent later is therefore not found.
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
    ``study_key``, ``completed_at``, and ``models``: the SHA-256 by stage.
    """
    study = database.execute("SELECT * FROM studies WHERE id = ?", (study_id,)).fetchone()
    rows = database.execute(
        """SELECT studies.*, result
           FROM studies JOIN results ON results.study_id = studies.id AND results.version = studies.version
           WHERE patient_id = ? AND studies.id < ? AND studies.state = 'done' AND decision IS NOT 'refer'
               AND json_extract(result, '$.severity') IS NOT NULL
           ORDER BY studies.id DESC""",
        (study["patient_id"], study_id),
    )
    same = ((row, json.loads(row["result"])) for row in rows if _is_same_patient(row, study))
    return next((_described(row, result) for row, result in same if not _may_be_mirrored(result)), None)


def _is_same_patient(one: Any, other: Any) -> bool:
    names, births = (_name(one), _name(other)), (one["birth_date"], other["birth_date"])
    known = all((one["patient_id"].strip(), *names, *births))
    sexes = {one["sex"], other["sex"]} - {""}
    return bool(known and names[0] == names[1] and births[0] == births[1] and len(sexes) < 2)


def _may_be_mirrored(result: Any) -> bool:
    return any(remark["code"] == "mirrored" for remark in result.get("quality") or ())


def _name(row: Any) -> str:
    """The alphabetic group of a person name without what differs between senders (PS3.5, section 6.2.1)."""
    return " ".join(row["patient_name"].split("=")[0].replace("^", " ").casefold().split())


def _described(row: Any, result: Any) -> dict[str, Any]:
    return {
        **result["severity"],
        "study_key": row["study_key"],
        "completed_at": row["completed_at"],
        "models": {stage["name"]: stage["model_sha256"] for stage in result.get("stages") or ()},
    }
