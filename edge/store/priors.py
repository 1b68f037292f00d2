"""The earlier study that a new one is compared with: a CT with a CT, a radiograph with a radiograph.

A comparison across patients would be worse than none, and clinics reuse patient numbers:
both studies must give number, name and birth date, all three must agree, and the sexes must
not contradict each other. A reading that made no claim, or whose image may be mirrored, is
no prior. "Earlier" goes by the time at which the modality took the images, where both studies
tell it: an old study that is fetched or brought later still is the older one. Both times come
from headers, so the clock of the box, which may stand wrong, has no say. Where one of the two
tells no time, the order of arrival decides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlite_utils import Database


def prior(database: Database, study_id: int) -> dict[str, Any] | None:
    """The newest earlier severity of the same patient, or None.

    Returns
    -------
    The ``severity`` of that study's newest finished result (``chest-edge/result/1``), with its
    ``study_key``, ``version``, ``completed_at``, ``acquired_at`` (local time of the modality, or None), and
    ``models``: the SHA-256 by stage, and ``method`` of its detection, or None.
    """
    study = database.execute("SELECT * FROM studies WHERE id = ?", (study_id,)).fetchone()
    rows = database.execute(
        """SELECT studies.*, result
           FROM studies JOIN results ON results.study_id = studies.id AND results.version = studies.version
           WHERE patient_id = :patient_id AND studies.id != :id AND studies.state = 'done'
               AND (modality IS 'CT') = (:modality IS 'CT')
               AND decision IS NOT 'refer' AND json_extract(result, '$.severity') IS NOT NULL
               AND ifnull((acquired_at, studies.id) < (:acquired_at, :id), studies.id < :id)
           ORDER BY iif(:acquired_at IS NULL, NULL, acquired_at) DESC, studies.id DESC""",
        dict(study),
    )
    same = ((row, json.loads(row["result"])) for row in rows if is_same_patient(row, study))
    return next((_described(row, result) for row, result in same if not _may_be_mirrored(result)), None)


def is_same_patient(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two studies are of one patient, by ``patient_id``, ``patient_name``, ``birth_date`` and ``sex``."""
    names, births = (name_of(one), name_of(other)), (one["birth_date"], other["birth_date"])
    known = all((one["patient_id"].strip(), *names, *births))
    sexes = {one["sex"], other["sex"]} - {""}
    return bool(known and names[0] == names[1] and births[0] == births[1] and len(sexes) < 2)


def _may_be_mirrored(result: Any) -> bool:
    return any(remark["code"] == "mirrored" for remark in result.get("quality") or ())


def name_of(row: Mapping[str, Any]) -> str:
    """The alphabetic group of a person name without what differs between senders (PS3.5, section 6.2.1)."""
    return " ".join(row["patient_name"].split("=")[0].replace("^", " ").casefold().split())


def _described(row: Any, result: Any) -> dict[str, Any]:
    return {
        **result["severity"],
        "study_key": row["study_key"],
        "version": row["version"],
        "completed_at": row["completed_at"],
        "acquired_at": row["acquired_at"],
        "method": (result.get("detection") or {}).get("method"),
        "models": {stage["name"]: stage["model_sha256"] for stage in result.get("stages") or ()},
    }
