"""What a destination does to an object, and what the box makes of it: real associations with scripted peers."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlite_utils import Database

from edge import clock
from edge.config import Settings
from edge.store import outbox, queue, sent
from edge.store.database import connect
from edge.types import Kind
from tests.support.exports import SC, Archive, archive, box_with, courier, drain, put_result, states
from tests.support.pacs import free_port
from tests.support.studies import finish

pytestmark = pytest.mark.usefixtures("small_objects")
ALL = tuple(kind.value for kind in Kind)


class Clock:
    """A monotonic clock that a test moves on, in seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        real = clock.monotonic
        monkeypatch.setattr(clock, "monotonic", lambda: real() + self.now)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def comment(status: int, words: str) -> Dataset:
    answer = Dataset()
    answer.Status, answer.ErrorComment = status, words
    return answer


def words(settings, number: int = 0) -> dict[str, str]:  # type: ignore[no-untyped-def]
    found = sent.listed(settings.database, 10)[number].trouble
    assert found is not None
    return dict(found)


def delivered(settings) -> bool:  # type: ignore[no-untyped-def]
    database = connect(settings.database)
    try:
        row = database.execute("SELECT count(*) AS n, sum(delivered_at IS NOT NULL) AS d FROM studies").fetchone()
        return bool(row["n"] == row["d"])
    finally:
        database.close()


def test_all_objects_of_a_result_leave_over_one_association(tmp_path: Path) -> None:
    peer = Archive()
    with peer.running() as port:
        box = box_with(tmp_path, archive(port, objects=ALL))
        put_result(box)
        with courier(box) as sender:
            drain(sender)
    assert states(box) == ["stored"] * 5
    assert (len(peer.stored), set(peer.stored.values()), peer.associations) == (5, {1}, 1)
    assert delivered(box)


def test_a_refused_class_is_dead_and_the_others_go_through(tmp_path: Path) -> None:
    peer = Archive()
    with peer.running(offers=[Kind.SECONDARY_CAPTURE]) as port:
        box = box_with(tmp_path, archive(port, objects=("seg", "sc")))
        put_result(box)
        with courier(box) as sender:
            drain(sender)
    assert states(box) == ["dead", "stored"]
    assert words(box)["code"] == "class_refused" and "PACS takes no objects of this kind" in words(box)["text"]
    assert not delivered(box)


def test_a_peer_that_takes_none_of_the_classes_but_lives_makes_them_dead(tmp_path: Path) -> None:
    with Archive().running(offers=[]) as port:
        box = box_with(tmp_path, archive(port))
        put_result(box)
        with courier(box) as sender:
            drain(sender)
    assert states(box) == ["dead"]


def test_a_peer_that_accepts_nothing_at_all_makes_nothing_dead(tmp_path: Path) -> None:
    with Archive().running(offers=[], commits=False, verifies=False) as port:
        box = box_with(tmp_path, archive(port))
        put_result(box)
        with courier(box) as sender:
            drain(sender)
        standing = sent.standings(box.database, box)[0]
    assert states(box) == ["queued"]
    assert standing.trouble is not None and standing.trouble["code"] == "nothing_accepted"


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007, 0x0111])
def test_a_warning_counts_as_stored_and_is_kept(tmp_path: Path, status: int) -> None:
    with Archive(status=lambda number: comment(status, "coerced a name")).running() as port:
        box = box_with(tmp_path, archive(port))
        key = put_result(box)
        with courier(box) as sender:
            drain(sender)
    assert states(box) == ["stored"] and delivered(box)
    with connect(box.database) as database:
        kept = sent.of_study(database, key)[0].trouble
    assert kept is not None and kept["words"] == "coerced a name"


@pytest.mark.parametrize("status", [0xA900, 0xC000, 0xC123, 0x0122, 0x0117])
def test_a_refusal_of_the_object_is_dead_with_the_peers_words(tmp_path: Path, status: int) -> None:
    with Archive(status=lambda number: comment(status, "bad slope of Example in P-0042")).running() as port:
        box = box_with(tmp_path, archive(port))
        put_result(box)
        with courier(box) as sender:
            drain(sender)
    assert states(box) == ["dead"]
    assert f"0x{status:04X}" in words(box)["text"]
    assert words(box)["words"] == "bad slope of … in …", "a peer's words must not name the patient"


def test_a_full_peer_is_asked_again_later_and_nothing_is_dead(tmp_path: Path, later: Clock) -> None:
    is_full = [True]
    peer = Archive(status=lambda number: 0xA700 if is_full[0] else 0)
    with peer.running() as port:
        box = box_with(tmp_path, archive(port))
        for _ in range(3):
            put_result(box)
        with courier(box) as sender:
            for _ in range(30):
                drain(sender)
                later.now += 700
            assert states(box) == ["queued"] * 3
            assert sum(peer.stored.values()) == 30, "one try for each wait, not one for each object"
            is_full[0] = False
            later.now += 700
            drain(sender)
    assert states(box) == ["stored"] * 3


def test_what_breaks_off_each_time_holds_up_nothing_and_is_dead_in_the_end(tmp_path: Path, later: Clock) -> None:
    peer = Archive()
    bad: list[str] = []
    peer.status = lambda number: None if peer.order[-1] in bad else 0
    with peer.running() as port:
        box = box_with(tmp_path, archive(port))
        put_result(box, "abnormal")
        with courier(box) as sender:
            bad.append("")
            peer.status = lambda number: (
                bad.append(peer.order[-1]) or None if len(bad) == 1 else (None if peer.order[-1] in bad else 0)
            )
            drain(sender)
            assert states(box) == ["queued"] and words(box)["code"] == "broke_off"
            for number in range(1, outbox.MAX_STRIKES + 2):
                put_result(box)
                later.now += 4000
                drain(sender)
                assert states(box)[number] == "stored"
    assert states(box)[0] == "dead"


def test_one_that_breaks_off_alone_waits_for_ever(tmp_path: Path, later: Clock) -> None:
    with Archive(status=lambda number: None).running() as port:
        box = box_with(tmp_path, archive(port))
        put_result(box)
        with courier(box) as sender:
            for _ in range(20):
                drain(sender)
                later.now += 4000
    assert states(box) == ["queued"] and states(box, "tries")[0] == 20


def test_a_failure_that_may_pass_is_tried_again(tmp_path: Path, later: Clock) -> None:
    with Archive(status=lambda number: 0x0110 if number == 0 else 0).running() as port:
        box = box_with(tmp_path, archive(port))
        put_result(box)
        with courier(box) as sender:
            drain(sender)
            assert states(box) == ["queued"]
            later.now += 10
            drain(sender)
    assert states(box) == ["stored"]


def test_a_peer_that_is_down_is_asked_once_for_all(tmp_path: Path, later: Clock) -> None:
    port = free_port()
    box = box_with(tmp_path, archive(port))
    for _ in range(5):
        put_result(box)
    peer = Archive()
    with courier(box) as sender:
        assert drain(sender) == 1 and drain(sender) == 0
        standing = sent.standings(box.database, box)[0]
        assert (standing.waiting, standing.dead) == (5, 0)
        assert standing.trouble is not None and standing.trouble["code"] == "unreachable"
        with peer.running(port):
            assert drain(sender) == 0, "still resting"
            later.now += 10
            drain(sender)
            assert sent.standings(box.database, box)[0].trouble is None
    assert states(box) == ["stored"] * 5 and peer.associations == 1


def test_what_a_physician_must_know_leaves_first(tmp_path: Path) -> None:
    peer = Archive()
    with peer.running() as port:
        box = box_with(tmp_path, archive(port))
        for decision, grade in (("normal", None), ("refer", None), ("abnormal", "mild"), ("abnormal", "severe")):
            put_result(box, decision, grade)
        put_result(box, "normal")
        with courier(box) as sender:
            drain(sender)
    uids = states(box, "sop_instance_uid")
    assert peer.order == [uids[number] for number in (3, 2, 1, 0, 4)]


def test_only_the_newest_result_is_sent(tmp_path: Path) -> None:
    peer = Archive()
    with peer.running() as port:
        box = box_with(tmp_path, archive(port))
        key = put_result(box)
        database = connect(box.database)
        database.execute("UPDATE studies SET state = 'ready'")
        database.conn.commit()
        again(database, box)
        database.close()
        assert states(box) == ["superseded", "queued"]
        with courier(box) as sender:
            drain(sender)
    assert states(box) == ["superseded", "stored"] and len(peer.stored) == 1
    assert (box.results / key / "2" / "sc.dcm").exists() and not (box.results / key / "1" / "sc.dcm").exists()


def again(database: Database, box: Settings) -> None:
    database.execute("UPDATE results SET set_sha256 = ''")
    database.conn.commit()
    claimed = queue.claim(database)
    assert claimed is not None
    finish(database, claimed, box.destination)


def test_the_file_is_made_once_whatever_the_software_would_make_of_it_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: Clock
) -> None:
    from edge.export import making

    peer = Archive(status=lambda number: 0xA700 if number == 0 else 0)
    with peer.running() as port:
        box = box_with(tmp_path, archive(port))
        put_result(box)
        with courier(box) as sender:
            drain(sender)
        monkeypatch.setattr(making, "make", None)
        later.now += 100
        with courier(box) as sender:
            drain(sender)
    assert states(box) == ["stored"]
    assert [len(digests) for digests in peer.digests.values()] == [1]


def test_an_object_that_cannot_be_made_is_dead_with_the_reason_and_retry_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge.errors import ObjectError
    from edge.export import making

    def refuse(case: object, kind: object) -> Dataset:
        raise ObjectError("bad_study_uid")

    with Archive().running() as port:
        box = box_with(tmp_path, archive(port))
        put_result(box)
        with monkeypatch.context() as broken, courier(box) as sender:
            broken.setattr(making, "make", refuse)
            drain(sender)
        assert states(box) == ["dead"] and words(box)["code"] == "bad_study_uid"
        with connect(box.database) as database:
            assert outbox.retry(database) == 1
        with courier(box) as sender:
            drain(sender)
    assert states(box) == ["stored"]


def test_an_object_that_kills_the_box_each_time_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge.export import making

    class Killed(BaseException):
        pass

    def kill(case: object, kind: object) -> Dataset:
        raise Killed

    with Archive().running() as port:
        box = box_with(tmp_path, archive(port))
        put_result(box)
        put_result(box)
        with monkeypatch.context() as broken:
            broken.setattr(making, "make", kill)
            for _ in range(2 * outbox.MAX_MAKINGS):
                with pytest.raises(Killed), courier(box) as sender:
                    drain(sender)
        with courier(box) as sender:
            drain(sender)
    assert states(box) == ["dead", "dead"] and words(box)["code"] == "not_made"


def test_kinds_that_a_result_does_not_have_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge.export import making

    monkeypatch.setattr(making, "kinds", lambda case: (Kind.SECONDARY_CAPTURE,))
    with Archive().running() as port:
        box = box_with(tmp_path, archive(port, objects=ALL))
        put_result(box)
        with courier(box) as sender:
            drain(sender)
    assert states(box, "kind") == list(SC) and states(box) == ["stored"] and delivered(box)
