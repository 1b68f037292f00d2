"""The pages: worklist, one study, its pictures, wake-ups, and the answer to "are you well".

The only identifier in an address is the random key of a study (32 hexadecimal digits):
addresses end up in histories and logs, where no patient data may be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, abort, jsonify, redirect, render_template, request, url_for
from PIL import Image
from sqlite_utils import Database
from werkzeug.routing import BaseConverter, IntegerConverter
from werkzeug.wrappers import Response as AnyResponse

from edge import log, overlay, wording
from edge.config import Settings
from edge.errors import BadAgeError, StorageError
from edge.store import budget, dropped, facts, peers, quarantine, queue, retention, sent, studies
from edge.store.database import opened
from edge.store.files import try_folder
from edge.store.journal import Action, note_alone
from edge.types import N_, State
from edge.web import asked, languages
from edge.web.live import Live
from edge.web.outbox import summary
from edge.web.tomograph import Tomographs

SHOWN = 100
_REMEMBERED = 512
_OLDEST_YEARS = 120
_REBUILT_SHOWN_S = 24 * 3600
_ENDED = (State.DONE, State.NO_RESULT, State.FAILED, State.QUARANTINED)
# Only a claim is shown with its probabilities: beside an abstention they would be taken for one.
_CLAIMS = (wording.Kind.NORMAL, wording.Kind.ABNORMAL)


class KeyConverter(BaseConverter):
    """The random key of a study in an address; anything else does not exist."""

    regex = "[0-9a-f]{32}"


class VersionConverter(IntegerConverter):
    """The number of a result's version in an address, no longer than a number of versions can be."""

    regex = "[1-9][0-9]{0,8}"


class Pages:
    """The views, bound to the settings and the wake-ups of one box.

    Parameters
    ----------
    wake : tells the other processes of the box to look.
    tomographs : the pictures of CT results.
    """

    def __init__(self, settings: Settings, live: Live, wake: Callable[[int], None], tomographs: Tomographs) -> None:
        self._settings = settings
        self._tomographs = tomographs
        self._live = live
        self._wake = wake
        # A version of a result never changes, so that what was read of it may be kept.
        self._probabilities = lru_cache(_REMEMBERED)(self._read_probabilities)

    def blueprint(self) -> Blueprint:
        """The addresses of the pages."""
        pages = Blueprint("pages", __name__)
        pages.before_request(languages.switch)
        routes: tuple[tuple[str, Callable[..., Any]], ...] = (
            ("/", self.worklist),
            ("/worklist", self.worklist_rows),
            ("/study/<key:key>", self.study),
            ("/study/<key:key>/stamp", self.stamp),
            ("/study/<key:key>.json", self.result),
            ("/study/<key:key>/<version:version>", self.older),
            ("/study/<key:key>/<version:version>.json", self.older_result),
            ("/study/<key:key>/<version:version>.pdf", self.paper),
            ("/study/<key:key>/age", self.age),
            ("/study/<key:key>/<version:version>/picture.jpg", self.picture),
            ("/study/<key:key>/<version:version>/thumbnail.jpg", self.thumbnail),
            ("/events", self.events),
            ("/healthz", self.health),
            ("/status", self.status),
            ("/quarantine", self.quarantine),
        )
        for address, view in routes:
            pages.add_url_rule(address, view.__name__, view)
        pages.add_url_rule("/study/<key:key>/age", "state_age", self.state_age, methods=["POST"])
        return pages

    def worklist(self) -> str:
        """The whole worklist page, newest study first."""
        return render_template("worklist.html", rows=self._rows(), shown=SHOWN, alarms=self._alarms())

    def worklist_rows(self) -> str:
        """Only the rows, for a page that looks again."""
        return render_template("_rows.html", rows=self._rows(), shown=SHOWN, alarms=self._alarms())

    def study(self, key: str) -> str:
        """One study with its picture and its newest reading."""
        found = self._viewed(key)
        self._note_view(found)
        return self._page(found)

    def older(self, key: str, version: int) -> str:
        """One study as an earlier reading left it."""
        return self._page(self._viewed(key, version))

    def _page(self, found: studies.StudyView) -> str:
        key = found.study_key
        result = _shown(found)
        verdict = _verdict(found, _probabilities(found.result))
        picture = studies.preview_path(self._settings, key, found.version) if found.has_preview else None
        size = _size_px(picture)
        return render_template(
            "study.html",
            study=found,
            stamp=_stamp(found),
            standing=_standing(found),
            verdict=verdict,
            result=result,
            reading=_reading(result) if verdict.kind in _CLAIMS else None,
            possible=_possible(found, result, verdict.kind),
            quality=_quality(found, result),
            age=None if found.is_old else _age(found, result),
            sent=[] if found.is_old else self._sent(key),
            size_px=size,
            stack=self._tomographs.shown(found, result) if found.modality == wording.CT else None,
            **(_drawn(result, *size) if size and found.modality != wording.CT else {}),
        )

    def _sent(self, key: str) -> list[dict[str, Any]]:
        with opened(self._settings.database) as database:
            return summary(sent.of_study(database, key))

    def age(self, key: str) -> AnyResponse:
        """The address of a form that was sent, when a browser asks for it again: its study."""
        return redirect(url_for("pages.study", key=key), 303)

    def state_age(self, key: str) -> AnyResponse:
        """Take an age that a person entered, and show the study, which is read again with it."""
        years = _years(request.form.get("years", ""))
        with opened(self._settings.database) as database:
            if not queue.state_age(database, key, years):
                abort(404)
        self._wake(0)
        self._live.wake()
        return self.age(key)

    def stamp(self, key: str) -> Response:
        """What changes whenever a study's page has something new to show; a second line for what may yet change."""
        found = self._found(key)
        return Response(f"{_stamp(found)}\n{_standing(found)}", mimetype="text/plain")

    def result(self, key: str) -> Response:
        """The newest result of a study, by the schema ``chest-edge/result/1``."""
        return _json(self._viewed(key))

    def older_result(self, key: str, version: int) -> Response:
        """An earlier result of a study, by the same schema."""
        return _json(self._viewed(key, version))

    def paper(self, key: str, version: int) -> Response:
        """A result as the printable report."""
        from edge.web.printing import printed

        found = self._found(key, version)
        if found.result is None:
            abort(404)
        content = printed(self._settings, found, languages.current())
        note_alone(self._settings.database, Action.PRINTED, study_key=key, host=request.remote_addr or "")
        return Response(content, mimetype="application/pdf")

    def picture(self, key: str, version: int) -> Response:
        """The picture of a study as JPEG."""
        return _jpeg(studies.preview_path(self._settings, key, version))

    def thumbnail(self, key: str, version: int) -> Response:
        """The small picture of a study as JPEG."""
        return _jpeg(studies.thumbnail_path(self._settings, key, version))

    def events(self) -> Response:
        """Server-sent wake-ups, or 503 where too many pages listen already."""
        if not self._live.take_slot():
            abort(503)
        gone = request.environ.get("waitress.client_disconnected", lambda: False)
        response = Response(self._live.events(gone), mimetype="text/event-stream")
        # Not in the generator: one that was never begun would never give its slot back.
        response.call_on_close(self._live.give_slot)
        return response

    def health(self) -> Response:
        """Whether the page can read the store, and how full the box is from 0 to 1."""
        studies.worklist(self._settings.database, 1)
        share = budget.used_share(self._settings.database, self._settings)
        return jsonify(status="ok", disk=budget.level(share), disk_used=round(share, 3))

    def quarantine(self) -> str:
        """What could not be read, and why."""
        return render_template("quarantine.html", found=quarantine.listed(self._settings.database, SHOWN), shown=SHOWN)

    def status(self) -> str:
        """How full the box is, what it deleted, what waits for a person, and how what stands around it does."""
        with opened(self._settings.database) as database:
            return render_template(
                "status.html",
                alarms=self._alarms(),
                share=budget.used_share(database, self._settings),
                warn_from=budget.WARN_FROM,
                refuse_from=budget.REFUSE_FROM,
                counts=studies.counts(database),
                destinations=sent.standings(database, self._settings),
                rebuilt_at=facts.text(database, facts.REBUILT_AT),
                folder=self._settings.intake.folder,
                standing=dropped.standing(database),
                troubles=dropped.TROUBLES,
                left_because=dropped.REASONS,
                machines=self._machines(database),
                deletions=retention.deletions(database, SHOWN),
            )

    def _machines(self, database: Database) -> list[tuple[str, str, peers.LastAnswer | None]]:
        """The PACS and the worklist, as far as they are set up: what it is, its name, and how it last answered."""
        known = ((N_("PACS"), self._settings.pacs), (N_("Modality worklist"), self._settings.worklist))
        return [(what, peers.name(a), peers.last(database, a)) for what, a in known if a.host]

    def _alarms(self) -> list[str]:
        """What whoever stands before the screen should know of the box itself; most pressing first."""
        with opened(self._settings.database) as database:
            is_refusing = budget.is_refusing(database, self._settings)
            disk = "full" if is_refusing else budget.level(budget.used_share(database, self._settings))
            is_new = facts.number(database, facts.RUNNING_S) < _REBUILT_SHOWN_S
            rebuilt = is_new and facts.text(database, facts.REBUILT_AT) is not None
        told = (self._cannot_store(), wording.DISK[disk], wording.REBUILT if rebuilt else "")
        return list(dict.fromkeys(filter(None, told)))

    def _cannot_store(self) -> str:
        """Tried anew each time: what is to be kept of a failure would have to be written there."""
        try:
            for folder in self._settings.folders:
                try_folder(folder)
        except StorageError as error:
            return wording.CANNOT_STORE[error.code]
        return ""

    def _note_view(self, found: studies.StudyView) -> None:
        if found.state not in _ENDED or not _is_opened():
            return
        try:
            with opened(self._settings.database) as database:
                retention.note_view(database, found.study_key, found.state, found.version)
        except StorageError as error:  # the study is shown all the same; it only stays unseen
            log.event("view_not_noted", code=error.code)

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {"study": row, "verdict": _verdict(row, self._suspected(row))}
            for row in studies.worklist(self._settings.database, SHOWN)
        ]

    def _suspected(self, row: studies.WorklistRow) -> Mapping[str, float | None] | None:
        return self._probabilities(row.study_key, row.version) if row.decision == "abnormal" else None

    def _read_probabilities(self, key: str, version: int) -> Mapping[str, float | None] | None:
        found = studies.study(self._settings.database, key)
        return _probabilities(found.result) if found is not None else None

    def _viewed(self, key: str, version: int | None = None) -> studies.StudyView:
        found = self._found(key, version)
        note_alone(self._settings.database, Action.STUDY_VIEWED, study_key=key, host=request.remote_addr or "")
        return found

    def _found(self, key: str, version: int | None = None) -> studies.StudyView:
        found = studies.study(self._settings.database, key, version)
        if found is None:
            abort(404)
        return found


def _verdict(
    row: studies.WorklistRow | studies.StudyView, probabilities: Mapping[str, float | None] | None
) -> wording.Verdict:
    if row.waits_for_room and row.state not in _ENDED:
        return wording.WAITING
    return wording.verdict(row.state, row.decision, probabilities, row.modality)


def _is_opened() -> bool:
    """Whether a browser opens the page in a window (W3C Fetch Metadata), and not ahead of time (``Sec-Purpose``).

    A program that fetches it says nothing of the kind; nor does a browser before 2023, whose study stays unseen.
    """
    told = request.headers
    is_early = any("prefetch" in told.get(name, "") for name in ("Sec-Purpose", "Purpose"))
    is_window = (told.get("Sec-Fetch-Mode"), told.get("Sec-Fetch-Dest")) == ("navigate", "document")
    return request.method == "GET" and is_window and not is_early


def _json(found: studies.StudyView) -> Response:
    if found.result is None:
        abort(404)
    return jsonify(found.result)


def _stamp(found: studies.StudyView) -> str:
    waits = " waits" if found.waits_for_room else ""
    return f"{found.state.value} {found.version} {found.instance_count} {len(found.pulled)}{waits}"


def _standing(found: studies.StudyView) -> str:
    """What may yet change of a study that was read, for a page that shows it; empty where it is final."""
    if not found.is_provisional:
        return ""
    return "broken-off" if found.is_broken_off else "provisional"


def _shown(found: studies.StudyView) -> Mapping[str, Any]:
    """The newest result, unless the study has moved on since: then it is out of date."""
    result = found.result or {}
    return result if result.get("state") == found.state.value else {}


def _quality(found: studies.StudyView, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was noticed about the image and does not already stand among the reasons, and what others were asked."""
    said = {reason["code"] for reason in found.reasons}
    answers = {remark.code: remark for key, remark in asked.PULLED.items() if key in found.pulled}
    fetched = [asked.IS_PRIOR] if found.is_prior else []
    noticed = [remark for remark in result.get("quality") or () if remark["code"] not in said]
    return noticed + [remark.as_json() for remark in (*answers.values(), *fetched)]


def _probabilities(result: Mapping[str, Any] | None) -> Mapping[str, float | None] | None:
    classification = (result or {}).get("classification") or {}
    probabilities: Mapping[str, float | None] | None = classification.get("probabilities")
    return probabilities


def _possible(found: studies.StudyView, result: Mapping[str, Any], kind: wording.Kind) -> list[str]:
    """The prediction set, worded as a likeness: outside of the training hospitals it rules nothing out."""
    is_close = kind is wording.Kind.REFER and {reason["code"] for reason in found.reasons} == {"undecided"}
    return (result.get("classification") or {}).get("set") or [] if kind in _CLAIMS or is_close else []


def _age(found: studies.StudyView, result: Mapping[str, Any]) -> dict[str, Any] | None:
    """The question for the age: open where it is unknown, with the answer where one was given."""
    by_code = {remark["code"]: remark for remark in (*found.reasons, *(result.get("quality") or ()))}
    if "age_stated" in by_code:
        return {"stated": by_code["age_stated"]["values"].get("years")}
    return {"stated": None} if "age_unknown" in by_code else None


def _years(text: str) -> int:
    if not re.fullmatch("[0-9]{1,3}", text) or int(text) > _OLDEST_YEARS:
        raise BadAgeError("bad_age", limit=_OLDEST_YEARS)
    return int(text)


def _drawn(result: Mapping[str, Any], width_px: int, height_px: int) -> dict[str, Any]:
    """What lies over the picture."""
    segmentation = result.get("segmentation")
    return {
        "outlines": overlay.outlines(segmentation, width_px, height_px),
        "lines": overlay.lines(segmentation, width_px, height_px),
        "marks": overlay.marks(result.get("findings"), segmentation, width_px, height_px),
    }


def _reading(result: Mapping[str, Any]) -> dict[str, Any]:
    classification = result.get("classification") or {}
    shown = {name: p for name, p in (_probabilities(result) or {}).items() if p is not None}
    bars = sorted(shown.items(), key=lambda bar: -bar[1])
    return {"bars": bars, "group": classification.get("group")}


def _size_px(picture: Path | None) -> tuple[int, int] | None:
    if picture is None or not picture.exists():
        return None
    with Image.open(picture, formats=["JPEG"]) as image:
        width_px, height_px = image.size
    return width_px, height_px


def _jpeg(path: Path) -> Response:
    try:
        return Response(path.read_bytes(), mimetype="image/jpeg")
    except FileNotFoundError:
        abort(404)
