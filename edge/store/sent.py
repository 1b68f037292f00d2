"""What the page, the doctor and the command line tell of the outbox: what waits, what is dead, and why.

A patient's name goes to the page alone, which shows it in the worklist too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from edge import clock
from edge.config import Settings
from edge.store import facts
from edge.store.database import opened, writing
from edge.store.outbox import WAITING, OutState

_FACT = "destination "


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One object for one destination, as it is shown. Times are ISO 8601 text in UTC.

    Attributes
    ----------
    trouble : what went wrong, with ``message``, ``values``, ``text`` and the destination's own ``words``; or None.
    """

    row_id: int
    study_key: str
    patient_name: str
    version: int
    kind: str
    destination: str
    state: OutState
    is_waiting: bool
    tries: int
    since: str
    trouble: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a destination does: how many objects wait, are dead and have arrived, and what is wrong with itself.

    Attributes
    ----------
    oldest : when the longest waiting object was made, or None.
    since, trouble : since when it does not answer and what it said last, or None.
    is_known : whether the settings name it.
    """

    name: str
    place: str
    is_known: bool
    waiting: int
    dead: int
    arrived: int
    oldest: str | None
    since: str | None
    trouble: Mapping[str, Any] | None


def note_answer(database: Database, destination: str, trouble: str | None) -> None:
    """Keep how a destination itself answered last: the trouble, or None where it did as it should."""
    before = json.loads(facts.text(database, _FACT + destination) or "{}")
    told = json.loads(trouble) if trouble else None
    if before.get("trouble") == told:
        return
    since = before["since"] if before.get("trouble") else clock.utc().isoformat(timespec="seconds")
    with writing(database):
        facts.keep(database, _FACT + destination, json.dumps({"trouble": told, "since": since}))


def listed(source: Path | Database, limit: int) -> list[Line]:
    """Objects that are dead, then those that wait, the newest first."""
    with opened(source) as database:
        rows = database.execute(
            f"""SELECT outbox.*, study_key, patient_name, {WAITING} AS is_waiting
                FROM outbox JOIN studies ON studies.id = study_id WHERE outbox.state = 'dead' OR {WAITING}
                ORDER BY outbox.state != 'dead', outbox.id DESC LIMIT ?""",  # noqa: S608
            (limit,),
        ).fetchall()
    return [_line(row) for row in rows]


def of_study(database: Database, study_key: str) -> list[Line]:
    """The objects of the newest result of a study."""
    rows = database.execute(
        f"""SELECT outbox.*, study_key, patient_name, {WAITING} AS is_waiting
            FROM outbox JOIN studies ON studies.id = study_id
            WHERE study_key = ? AND outbox.version = studies.version AND outbox.state != 'superseded'
            ORDER BY outbox.id""",  # noqa: S608
        (study_key,),
    ).fetchall()
    return [_line(row) for row in rows]


def is_there(database: Database, row_id: int) -> bool:
    """Whether there is such a row."""
    return database.execute("SELECT 1 FROM outbox WHERE id = ?", (row_id,)).fetchone() is not None


def standings(source: Path | Database, settings: Settings) -> list[Standing]:
    """How each destination of the settings does, and those that the settings do not name any more."""
    with opened(source) as database:
        rows = database.execute(
            f"""SELECT destination, sum({WAITING}) AS waiting, sum(state = 'dead') AS dead,
                    sum(state IN ('stored', 'committed') AND NOT {WAITING}) AS arrived,
                    min(CASE WHEN {WAITING} THEN created_at END) AS oldest
                FROM outbox GROUP BY destination"""  # noqa: S608
        ).fetchall()
        counted = {row["destination"]: row for row in rows}
        places = {destination.name: destination.place for destination in settings.destination}
        left = [name for name, row in counted.items() if name not in places and (row["waiting"] or row["dead"])]
        return [_standing(database, name, places.get(name), counted.get(name)) for name in (*places, *left)]


def lines(found: Sequence[Line]) -> Iterator[str]:
    """As the command line prints them."""
    for line in found:
        why = line.trouble["text"] if line.trouble else ""
        words = f' "{line.trouble["words"]}"' if line.trouble and line.trouble["words"] else ""
        head = (
            f"{line.row_id} {line.state.value} {line.destination} {line.kind} {line.study_key} version {line.version}"
        )
        yield f"{head}, sent {line.tries} times, since {line.since[:16].replace('T', ' ')} UTC. {why}{words}".rstrip()


def _line(row: Any) -> Line:
    return Line(
        row_id=row["id"],
        study_key=row["study_key"],
        patient_name=row["patient_name"],
        version=row["version"],
        kind=row["kind"],
        destination=row["destination"],
        state=OutState(row["state"]),
        is_waiting=bool(row["is_waiting"]),
        tries=row["tries"],
        since=row["created_at"],
        trouble=json.loads(row["trouble"]) if row["trouble"] else None,
    )


def _standing(database: Database, name: str, place: str | None, row: Any) -> Standing:
    kept = json.loads(facts.text(database, _FACT + name) or "{}")
    return Standing(
        name=name,
        place=place or "",
        is_known=place is not None,
        waiting=row["waiting"] if row else 0,
        dead=row["dead"] if row else 0,
        arrived=row["arrived"] if row else 0,
        oldest=row["oldest"] if row else None,
        since=kept.get("since") if kept.get("trouble") else None,
        trouble=kept.get("trouble"),
    )
