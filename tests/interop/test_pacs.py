"""Orthanc and dcmtk as the PACS: they send, and the box echoes, queries, gets and moves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, RLELossless, generate_uid
from sqlite_utils import Database

from edge.config import PacsSettings, Settings
from edge.dicom import query
from edge.dicom.attributes import text
from edge.dicom.peer import Limits, Peer
from edge.dicom.send import echo, send
from edge.errors import PeerError
from edge.pipeline import fetch
from edge.pipeline.fetch import Fetcher
from edge.store.spool import Spool
from edge.store.studies import study, worklist
from edge.types import State
from tests.support import inputs
from tests.support.box import eventually, running
from tests.support.pacs import Orthanc, dcmqrscp, free_port, orthanc

Read = Callable[[], None]
LIMITS = Limits(size_bytes=64 << 20, seconds=60)


def with_pacs(box: Settings, port: int, ae_title: str = "ORTHANC", **changes: Any) -> Settings:
    return replace(box, pacs=PacsSettings(host="127.0.0.1", port=port, ae_title=ae_title, **changes))


@contextmanager
def spool_of(box: Settings) -> Generator[Spool, None, None]:
    spool = Spool(box, lambda number: None)
    yield spool
    spool.close()


def fetched(box: Settings, study_uid: str) -> int:
    asked = query.Asked(study_instance_uid=study_uid, most=20)
    with spool_of(box) as spool:
        return query.fetch(Peer(box, box.pacs), asked, spool, LIMITS)


def taken(day: str, **elements: Any) -> Dataset:
    """A radiograph of the phantom patient that was taken on that day."""
    return inputs.dx(StudyDate=day, AcquisitionDate=day, AcquisitionTime="080000", BodyPartExamined="CHEST", **elements)


@pytest.fixture
def peer(tmp_path: Path, receiver: int) -> Iterator[Orthanc]:
    with orthanc(tmp_path, receiver) as running_orthanc:
        yield running_orthanc


def test_orthanc_echoes_and_sends_to_the_box(peer: Orthanc, box: Settings, read: Read) -> None:
    assert peer.echoes_box()
    answer = peer.send_to_box(peer.upload(inputs.dx()))
    assert (answer["FailedInstancesCount"], answer["InstancesCount"]) == (0, 1)
    read()
    (row,) = worklist(box.database, 10)
    assert row.state is State.DONE and not row.is_prior


def test_the_box_echoes_queries_and_sends_to_orthanc(peer: Orthanc, box: Settings, tmp_path: Path) -> None:
    assert echo("127.0.0.1", peer.port, "ORTHANC")
    dataset = inputs.dx(PatientName="Müller^Zoë", SpecificCharacterSet="ISO_IR 100")
    assert send([inputs.save(dataset, tmp_path / "a.dcm")], "127.0.0.1", peer.port, "ORTHANC") == [0]
    settings = with_pacs(box, peer.port)
    (found,) = query.find_studies(Peer(settings, settings.pacs), PatientID="PHANTOM-1")
    assert text(found, "StudyInstanceUID") == dataset.StudyInstanceUID
    assert query.patient_of(found) == {
        "patient_id": "PHANTOM-1",
        "patient_name": "Müller^Zoë",
        "birth_date": "1970-01-02",
        "sex": "O",
    }


def mixed_study() -> list[Dataset]:
    """Three images of one study, each in a transfer syntax of its own."""
    first = inputs.dx()
    datasets = [first] + [
        inputs.dx(StudyInstanceUID=first.StudyInstanceUID, SeriesInstanceUID=first.SeriesInstanceUID) for _ in "ab"
    ]
    for dataset, syntax in zip(datasets[1:], (RLELossless, JPEG2000Lossless), strict=True):
        dataset.compress(syntax)
    return datasets


def test_orthanc_gives_a_study_as_it_stores_it(peer: Orthanc, box: Settings, database: Database, read: Read) -> None:
    datasets = mixed_study()
    peer.upload(*datasets)
    assert fetched(with_pacs(box, peer.port), datasets[0].StudyInstanceUID) == 3
    rows = database.execute("SELECT transfer_syntax_uid, calling_ae_title FROM instances").fetchall()
    assert {row[0] for row in rows} == {str(dataset.file_meta.TransferSyntaxUID) for dataset in datasets}
    assert {row[1] for row in rows} == {"ORTHANC"}
    read()
    (row,) = worklist(box.database, 10)
    assert (row.state, row.instance_count) == (State.DONE, 3)


@pytest.mark.parametrize("options", [(), ("--disable-get",)], ids=["get", "move"])
def test_dcmqrscp_gives_a_study_by_get_or_else_by_move(
    tmp_path: Path, receiver: int, box: Settings, read: Read, options: tuple[str, ...]
) -> None:
    datasets = [inputs.dx(), inputs.dx()]
    with dcmqrscp(tmp_path, receiver, datasets, options) as port:
        settings = with_pacs(box, port, "DCMQRSCP")
        assert fetched(settings, datasets[1].StudyInstanceUID) == 1
        with pytest.raises(PeerError, match="refused"):
            fetched(with_pacs(box, port, "NOBODY"), datasets[1].StudyInstanceUID)
    read()
    (row,) = worklist(box.database, 10)
    assert (row.state, row.instance_count) == (State.DONE, 1)


def test_a_move_to_a_box_that_the_pacs_cannot_reach_is_no_success(tmp_path: Path, box: Settings) -> None:
    dataset = inputs.dx()
    with dcmqrscp(tmp_path, 1, [dataset], ["--disable-get"]) as port:
        with pytest.raises(PeerError, match="peer_failed"):
            fetched(with_pacs(box, port, "DCMQRSCP"), dataset.StudyInstanceUID)
    assert worklist(box.database, 10) == []


def test_priors_are_fetched_and_the_study_is_read_once_more(
    peer: Orthanc, box: Settings, database: Database, read: Read
) -> None:
    earlier = [taken(f"2025010{day}") for day in range(1, 6)]
    leg = inputs.dx(StudyDate="20250201", BodyPartExamined="LEG")
    other = taken("20250202", PatientName="Somebody^Else")
    later = taken("20270101")
    peer.upload(*earlier, leg, other, later)
    current = taken("20260301")
    peer.send_to_box(peer.upload(current))
    read()
    settings = with_pacs(box, peer.port)
    with spool_of(box) as spool:
        fetcher = Fetcher(settings, database, spool, lambda number: None)
        for _ in range(20):
            if not fetcher.step():
                read()
    rows = worklist(box.database, 10)
    uids = {
        row["study_key"]: row["study_instance_uid"]
        for row in database.execute("SELECT study_key, study_instance_uid FROM studies")
    }
    assert [(uids[row.study_key], row.is_prior, row.version) for row in rows][0] == (current.StudyInstanceUID, False, 2)
    assert {uids[row.study_key] for row in rows if row.is_prior} == {one.StudyInstanceUID for one in earlier[2:]}
    assert len(rows) == 4
    shown = study(box.database, rows[0].study_key)
    assert shown is not None and shown.result is not None and shown.versions == [1, 2]
    change = shown.result["severity"]["change"]
    assert uids[change["study_key"]] == earlier[4].StudyInstanceUID
    assert change["acquired_at"] == "2025-01-05T08:00:00"
    assert database.execute("SELECT count(*) FROM pulls WHERE state != 'done'").fetchone()[0] == 0
    asked = noted(database, "queried", "pull_begun", "pulled")
    assert [action for action, _ in asked] == ["queried"] * 7 + ["pull_begun", "pulled"] * 3
    assert {fields["ae_title"] for _, fields in asked} == {"ORTHANC"}
    assert [fields["count"] for action, fields in asked if action == "pulled"] == [1, 1, 1]


def noted(database: Database, *actions: str) -> list[tuple[str, dict[str, Any]]]:
    rows = database.execute("SELECT action, fields FROM journal ORDER BY id").fetchall()
    return [(row["action"], json.loads(row["fields"])) for row in rows if row["action"] in actions]


def test_a_pull_that_fails_is_noted(box: Settings, database: Database) -> None:
    settings = with_pacs(box, free_port())
    with pytest.raises(PeerError, match="unreachable"), spool_of(box) as spool:
        asked = query.Asked(study_instance_uid="1.2.3", most=20)
        fetch._pull(Peer(settings, settings.pacs), asked, spool, LIMITS)
    told = {"ae_title": "ORTHANC", "outcome": "failed", "code": "unreachable"}
    assert noted(database, "queried", "pull_begun", "pulled") == [
        ("pull_begun", {"ae_title": "ORTHANC"}),
        ("pulled", told),
    ]


def test_the_process_fetches_priors_by_itself(peer: Orthanc, box: Settings, read: Read) -> None:
    old, current = taken("20250101"), taken("20260301")
    peer.upload(old)
    settings = with_pacs(box, peer.port)
    peer.send_to_box(peer.upload(current))
    read()
    with running("fetch", settings):
        eventually(lambda: len(worklist(box.database, 10)) == 2)
        eventually(lambda: read() or [row.version for row in worklist(box.database, 10)] == [2, 1])
    log = (box.run_dir / "fetch.log").read_text()
    assert "prior_fetched" in log
    for secret in (old.StudyInstanceUID, current.StudyInstanceUID, "PHANTOM", "Phantom"):
        assert secret not in log


def pull(box: Settings, port: int, *options: str) -> subprocess.CompletedProcess[str]:
    file = box.data_dir.parent / "pull.toml"
    file.write_text(
        f'data_dir = "{box.data_dir}"\n[dicom]\nport = {box.dicom.port}\n'
        f'[pacs]\nhost = "127.0.0.1"\nport = {port}\nae_title = "ORTHANC"\n'
    )
    command = [sys.executable, "-m", "edge", "--config", str(file), "pull", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_study_is_pulled_by_hand(peer: Orthanc, box: Settings, read: Read) -> None:
    uid = generate_uid()
    peer.upload(inputs.dx(StudyInstanceUID=uid, AccessionNumber="A-1"), inputs.dx(AccessionNumber="A-2"))
    peer.upload(inputs.dx(AccessionNumber="A-2"))
    done = pull(box, peer.port, "--accession", "A-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Images that came: 1" in done.stdout
    read()
    assert [row.state for row in worklist(box.database, 10)] == [State.DONE]
    assert pull(box, peer.port, "--study", uid).returncode == 0
    assert len(worklist(box.database, 10)) == 1
    for options, words in (
        (("--accession", "A-2"), "2 such studies"),
        (("--accession", "A-9"), "no such study"),
        (("--accession", "*"), "no identifier"),
        (("--accession", ""), "usage"),
        (("--study", "1.2.*"), "no identifier"),
    ):
        refused = pull(box, peer.port, *options)
        assert refused.returncode == 2 and words in refused.stderr, (options, refused.stderr)
    assert len(worklist(box.database, 10)) == 1
