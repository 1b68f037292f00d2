"""What the doctor says of what is set up around the box: the drop folder, a PACS, a worklist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.uid import UID
from pynetdicom import evt

from edge.config import DicomSettings, IntakeSettings, PacsSettings, Settings, WebSettings, WorklistSettings
from edge.dicom import certificates
from edge.dicom.peer import Peer
from edge.health import doctor, libraries
from edge.store import dropped, peers
from edge.store.database import connect
from tests.health.test_doctor import _no_models, _running
from tests.support.pacs import STUDY_FIND, free_port, scripted
from tests.support.studies import ready_box

VERIFICATION = UID("1.2.840.10008.1.1")
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")  # pynetdicom's, where nobody listens


@pytest.fixture(autouse=True)
def _libraries_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "broken", list)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(ready_box(tmp_path / "var"), dicom=DicomSettings(port=0), web=WebSettings(port=0))


@pytest.fixture
def dropping(settings: Settings, tmp_path: Path) -> Settings:
    return replace(settings, intake=IntakeSettings(folder=str(tmp_path / "drop")))


@pytest.fixture
def port() -> Iterator[int]:
    """Of a peer that answers C-ECHO."""
    with scripted((evt.EVT_C_ECHO, lambda event: 0), offers=(VERIFICATION,)) as port:
        yield port


def _with_pacs(settings: Settings, port: int) -> Settings:
    return replace(settings, pacs=PacsSettings(host="127.0.0.1", port=port, ae_title="ARCHIVE"))


def _said(settings: Settings, start: str) -> list[tuple[bool, str]]:
    found = doctor.examine(settings, _no_models)
    return [(finding.ok, finding.text) for finding in found if finding.text.startswith(start)]


def test_a_folder_is_looked_at_where_no_box_runs(dropping: Settings) -> None:
    folder = Path(dropping.intake.folder)
    assert _said(dropping, "Drop folder") == [(False, f"Drop folder {folder}: {dropped.TROUBLES['missing']}")]
    folder.mkdir()
    (line,) = _said(dropping, "Drop folder")
    assert line == (True, f"Drop folder {folder}: what lies there is told while the box runs")


def test_of_a_running_box_it_says_what_stays_there_and_why(dropping: Settings) -> None:
    start = f"Drop folder {dropping.intake.folder}"
    with _running(dropping):
        assert _said(dropping, "Drop") == [(False, f"{start}: {dropped.TROUBLES['unwatched']}")]
        with connect(dropping.database) as database:
            dropped.keep(database, dropped.Standing(trouble="not_emptied", left={"not_dicom": 1, "empty_file": 2}))
            assert _said(dropping, "Drop") == [
                (False, f"{start}: {dropped.TROUBLES['not_emptied']}"),
                (False, f"{start}: 2 files stay there. {dropped.REASONS['empty_file']}"),
                (False, f"{start}: 1 file stays there. {dropped.REASONS['not_dicom']}"),
            ]
            dropped.keep(database, dropped.Standing(left={}))
        assert _said(dropping, "Drop") == [(True, start)]


def test_without_a_database_it_says_so(dropping: Settings) -> None:
    dropping.database.unlink()
    with _running(dropping):
        ((ok, text),) = _said(dropping, "Drop")
    assert not ok and "There is no database." in text


def test_a_pacs_that_answers_is_well_and_nothing_is_noted_of_it(settings: Settings, port: int) -> None:
    with_pacs = _with_pacs(settings, port)
    assert _said(with_pacs, "PACS") == [(True, f"PACS ARCHIVE (127.0.0.1:{port}) answers")]
    with connect(settings.database) as database:
        assert peers.last(database, with_pacs.pacs) is None
        assert database.execute("SELECT count(*) FROM journal").fetchone()[0] == 0


def test_one_that_answers_but_failed_last_is_a_problem(settings: Settings, port: int) -> None:
    with_pacs = _with_pacs(settings, port)
    peers.note(settings.database, with_pacs.pacs, Peer(with_pacs, with_pacs.pacs).error("not_offered"))
    ((ok, text),) = _said(with_pacs, "PACS")
    assert not ok
    assert "answers, but what the box last asked for failed" in text and "Allow the box to query" in text
    peers.note(settings.database, with_pacs.pacs, None)
    assert [ok for ok, _ in _said(with_pacs, "PACS")] == [True]


def test_one_that_is_down_is_told_with_since_when(settings: Settings) -> None:
    with_pacs = _with_pacs(settings, free_port())
    ((ok, text),) = _said(with_pacs, "PACS")
    assert not ok and "cannot be reached" in text and "since" not in text
    peers.note(settings.database, with_pacs.pacs, Peer(with_pacs, with_pacs.pacs).error("unreachable"))
    ((ok, text),) = _said(with_pacs, "PACS")
    assert not ok and text.endswith(" UTC.") and "Requests fail since 20" in text
    settings.database.unlink()
    assert len(_said(with_pacs, "PACS")) == 1


def test_a_worklist_that_offers_no_echo_answers_all_the_same(settings: Settings) -> None:
    with scripted(offers=(STUDY_FIND,)) as port:
        asked = replace(settings, worklist=WorklistSettings(host="127.0.0.1", port=port, ae_title="LIST"))
        ((ok, text),) = _said(asked, "Worklist")
    assert ok and text == f"Worklist LIST (127.0.0.1:{port}) answers"


def test_looking_makes_no_certificates(settings: Settings, port: int) -> None:
    with_pacs = replace(settings, pacs=replace(_with_pacs(settings, port).pacs, tls=True))
    ((ok, text),) = _said(with_pacs, "PACS")
    assert ok and "is not asked" in text
    assert not certificates.folder(settings).exists()
