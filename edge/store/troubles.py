"""What went wrong with an object on its way, in our words and in the destination's, which may not name the patient."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from sqlite_utils import Database

from edge.errors import EdgeError

_WORDS = 200


def trouble(error: EdgeError, words: str = "", known: Iterable[str] = ()) -> str:
    """What went wrong, as it is kept.

    Parameters
    ----------
    words : the destination's own.
    known : what must not stand in them, such as the patient's name.
    """
    told = {"code": error.code, "message": error.text, "text": error.text % error.values, "values": error.values}
    return json.dumps(told | {"words": _harmless(words, known)})


def identifiers(database: Database, study_id: int) -> Sequence[str]:
    """What names the patient of a study, and must not be repeated from another machine's words."""
    row = database.execute(
        "SELECT patient_name, patient_id, accession_number, birth_date FROM studies WHERE id = ?", (study_id,)
    ).fetchone()
    if row is None:
        return ()
    parts = re.split(r"[\^=, ]+", row["patient_name"] or "")
    born = row["birth_date"] or ""
    return [*parts, row["patient_id"], row["accession_number"], born, born.replace("-", "")]


def _harmless(words: str, known: Iterable[str]) -> str:
    cleaned = "".join(letter if letter.isprintable() else " " for letter in words).strip()
    for name in sorted({name for name in known if name and len(name) > 1}, key=len, reverse=True):
        cleaned = re.sub(re.escape(name), "…", cleaned, flags=re.IGNORECASE)
    return cleaned[:_WORDS]
