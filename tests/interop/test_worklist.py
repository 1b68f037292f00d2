"""dcmtk's wlmscpfs as the modality worklist: one request that fits gives its accession number, and doubt is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlite_utils import Database

from edge.config import Settings, WorklistSettings
from edge.pipeline.fetch import Fetcher
from edge.store.studies import StudyView, study, worklist
from edge.web.app import create_app
from tests.interop.test_pacs import spool_of
from tests.support import inputs
from tests.support.box import storescu
from tests.support.pacs import free_port, scheduled, wlmscpfs

Receive = Callable[..., Path]
Ask = Callable[..., StudyView]


@pytest.fixture
def receive(receiver: int, box: Settings, read: Callable[[], None], tmp_path: Path) -> Receive:
    """Send an image without an accession number and read it; its file in the box."""

    def send(**elements: Any) -> Path:
        dataset = inputs.dx(**{"AccessionNumber": "", **elements})
        assert storescu(receiver, [inputs.save(dataset, tmp_path / "image.dcm")], "-aet", "XRAY-1") == 0
        read()
        (file,) = box.incoming.iterdir()
        return file

    return send


@pytest.fixture
def ask(box: Settings, database: Database, tmp_path: Path) -> Ask:
    """Ask a worklist of these entries for the one study of the box, and show that."""

    def step(*entries: Dataset) -> StudyView:
        with wlmscpfs(tmp_path, *entries) as port, spool_of(box) as spool:
            settings = replace(box, worklist=WorklistSettings(host="127.0.0.1", port=port))
            fetcher = Fetcher(settings, database, spool, lambda number: None)
            assert fetcher.step()
            assert not fetcher.step()
        (row,) = worklist(database, 10)
        shown = study(database, row.study_key)
        assert shown is not None
        return shown

    return step


ONE_OTHER_DAY = scheduled(AccessionNumber="ACC-78", ScheduledProcedureStepStartDate="20260302")
OTHERS = (
    ONE_OTHER_DAY,
    scheduled(AccessionNumber="ACC-79", Modality="CT"),
    scheduled(AccessionNumber="ACC-80", ScheduledStationAETitle="XRAY-2"),
    scheduled(AccessionNumber="ACC-81", PatientID="PHANTOM-2"),
)


@pytest.mark.parametrize(
    ("entries", "accession_number", "code"),
    [
        ((scheduled(), *OTHERS), "ACC-77", "matched"),
        ((scheduled(Modality="CR", ScheduledStationAETitle="XRAY-1"),), "ACC-77", "matched"),
        ((scheduled(), scheduled(ScheduledProcedureStepID="S2")), "ACC-77", "matched"),
        ((scheduled(), scheduled(AccessionNumber="ACC-90")), "", "ambiguous"),
        ((scheduled(PatientName="Somebody^Else"),), "", "contradicting"),
        ((scheduled(PatientBirthDate="19710102"), scheduled()), "", "contradicting"),
        (OTHERS, "", "no_match"),
        ((), "", "no_match"),
    ],
    ids=["one", "like one", "two steps", "two requests", "other name", "other birth", "others", "none"],
)
def test_only_one_request_that_fits_gives_its_number(
    ask: Ask, receive: Receive, entries: tuple[Dataset, ...], accession_number: str, code: str
) -> None:
    file = receive()
    before = file.read_bytes()
    shown = ask(*entries)
    assert (shown.accession_number, shown.pulled) == (accession_number, [("worklist", code)])
    assert shown.versions == [1]
    assert file.read_bytes() == before and not dcmread(file).AccessionNumber


def test_a_number_that_came_with_the_image_is_left_alone(box: Settings, database: Database, receive: Receive) -> None:
    receive(AccessionNumber="OWN-1")
    settings = replace(box, worklist=WorklistSettings(host="127.0.0.1", port=free_port()))
    with spool_of(box) as spool:
        assert not Fetcher(settings, database, spool, lambda number: None).step()


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "names another person under this patient number"), ("fr", "nomme une autre personne sous ce numéro")],
)
def test_doubt_is_said_on_the_page(box: Settings, ask: Ask, receive: Receive, language: str, words: str) -> None:
    receive()
    shown = ask(scheduled(PatientName="Somebody^Else"))
    client = create_app(box).test_client()
    page = client.get(f"/study/{shown.study_key}", headers={"Accept-Language": language}).get_data(as_text=True)
    assert words in page
    assert "Somebody" not in page
