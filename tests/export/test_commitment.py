"""Storage commitment with scripted peers: on the same association, on a new one, denied, late, and not ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge import clock
from edge.config import DicomSettings, Settings
from edge.store import outbox, sent
from edge.store.database import connect
from tests.export.test_courier import Clock, delivered
from tests.support.box import eventually, running
from tests.support.exports import (
    Archive,
    archive,
    box_with,
    call_with,
    courier,
    drain,
    on_the_same,
    put_result,
    states,
    told,
)
from tests.support.pacs import free_port

pytestmark = pytest.mark.usefixtures("small_objects")
Pairs = list[tuple[str, str]]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def committing(tmp_path: Path, port: int, **dicom: Any) -> Settings:
    return box_with(tmp_path / "box", archive(port, commitment=True), dicom=DicomSettings(port=free_port(), **dicom))


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Callable[[Settings], int]]:
    """Starts the box's receiver; the port."""
    from contextlib import ExitStack

    with ExitStack() as life:

        def start(box: Settings) -> int:
            life.enter_context(running("receiver", box))
            eventually((box.run_dir / "receiver.port").exists)
            return box.dicom.port

        yield start


def settle(box: Settings) -> None:
    """Send and ask as far as it goes now."""
    with courier(box) as sender:
        drain(sender)


def test_a_report_on_the_same_association_commits(tmp_path: Path) -> None:
    peer = Archive(report=on_the_same())
    with peer.running() as port:
        box = committing(tmp_path, port)
        put_result(box)
        put_result(box)
        settle(box)
        assert not sent.listed(box.database, 10)
    assert states(box) == ["committed"] * 2 and delivered(box)
    assert [len(asked) for asked in peer.asked] == [2], "one transaction for what was stored together"


@pytest.mark.parametrize("roles", [True, False], ids=["with role selection", "without"])
def test_a_report_on_a_new_association_commits(
    tmp_path: Path, receiver: Callable[[Settings], int], roles: bool
) -> None:
    answers: list[Any] = []

    def report(association: Any, transaction: str, pairs: Pairs) -> None:
        answers.append(call_with(box.dicom.port, told(transaction, pairs), roles=roles))
        answers.append(call_with(box.dicom.port, told(transaction, pairs), roles=roles))

    peer = Archive(report=report)
    with peer.running() as port:
        box = committing(tmp_path, port)
        receiver(box)
        put_result(box)
        settle(box)
        eventually(lambda: len(answers) == 2)
    assert states(box) == ["committed"] and delivered(box)
    assert answers == [0, 0], "a report that comes twice is no error"


def test_a_report_may_come_although_only_x_ray_units_may_call(
    tmp_path: Path, receiver: Callable[[Settings], int]
) -> None:
    box = committing(tmp_path, 1, calling_ae_titles=("XRAY",), addresses=("192.0.2.1",))
    port = receiver(box)
    assert call_with(port, told("2.25.1", []), calling="SCRIPTED") == 0x0115
    assert call_with(port, told("2.25.1", []), calling="STRANGER") is None


def test_only_transactions_of_the_box_count(tmp_path: Path, receiver: Callable[[Settings], int]) -> None:
    asked: list[tuple[str, Pairs]] = []
    peer = Archive(report=lambda association, transaction, pairs: asked.append((transaction, pairs)))
    with peer.running() as port:
        box = committing(tmp_path, port)
        at = receiver(box)
        put_result(box)
        settle(box)
        transaction, pairs = asked[0]
        assert call_with(at, told("2.25.123456789", pairs)) == 0x0115
        assert call_with(at, told(transaction, pairs), kind=7) == 0x0113
        assert call_with(at, told(transaction, [("1.2", "1.2.3")])) == 0, "ours, but of another object"
        assert states(box) == ["stored"] and not delivered(box)
        assert call_with(at, told(transaction, pairs)) == 0
    assert states(box) == ["committed"]


def test_a_malformed_report_harms_nothing(tmp_path: Path, receiver: Callable[[Settings], int]) -> None:
    from pydicom.dataset import Dataset

    box = committing(tmp_path, 1)
    port = receiver(box)
    nameless = Dataset()
    nameless.FailedSOPSequence = [Dataset()]
    assert call_with(port, nameless) == 0x0115
    assert call_with(port, told("2.25.1", [])) == 0x0115


def test_what_is_denied_is_sent_once_more_and_then_dead_with_the_reason(tmp_path: Path) -> None:
    peer = Archive(report=on_the_same(kept=False))
    with peer.running() as port:
        box = committing(tmp_path, port)
        put_result(box)
        settle(box)
        found = sent.listed(box.database, 10)
    assert states(box) == ["dead"] and not delivered(box)
    assert set(peer.stored.values()) == {2} and len(peer.asked) == 2
    assert [len(digests) for digests in peer.digests.values()] == [1], "the same bytes under the same identifier"
    trouble = found[0].trouble
    assert trouble is not None and trouble["code"] == "commitment_denied" and "0x0112" in trouble["text"]


def test_a_peer_without_commitment_is_told_to_have_none(tmp_path: Path) -> None:
    with Archive().running(commits=False) as port:
        box = committing(tmp_path, port)
        key = put_result(box)
        settle(box)
    with connect(box.database) as database:
        line = sent.of_study(database, key)[0]
    assert states(box) == ["stored"] and delivered(box) and not line.is_waiting
    assert line.trouble is not None and line.trouble["code"] == "no_commitment"


def test_one_that_never_answers_is_asked_again_but_gets_nothing_twice(tmp_path: Path, later: Clock) -> None:
    peer = Archive()
    with peer.running() as port:
        box = committing(tmp_path, port)
        put_result(box)
        with courier(box) as sender:
            sender._dicom._report = lambda event: (0, None)
            for _ in range(6):
                ask(sender, later)
            assert states(box) == ["stored"] and not delivered(box)
            assert 3 <= len(peer.asked) <= 5
            peer.report = on_the_same()
        settle_after(box, later)
    assert set(peer.stored.values()) == {1}


def ask(sender: Any, later: Clock) -> None:
    step_with_time(sender, later)
    later.now += 7200


def step_with_time(sender: Any, later: Clock) -> None:
    """Do all that can be done, with a clock that goes on while the box holds an association for a report."""
    from edge.export import cstore

    hold, cstore._HOLD_S = cstore._HOLD_S, -1.0  # type: ignore[misc]
    try:
        drain(sender)
    finally:
        cstore._HOLD_S = hold  # type: ignore[misc]


def settle_after(box: Settings, later: Clock) -> None:
    with courier(box) as sender:
        drain(sender)
        later.now += 100_000
        drain(sender)
        eventually(lambda: states(box) == ["committed"], 5)


def test_a_request_that_is_refused_is_made_again(tmp_path: Path, later: Clock) -> None:
    peer = Archive(action_status=0x0213, report=on_the_same())
    with peer.running() as port:
        box = committing(tmp_path, port)
        put_result(box)
        with courier(box) as sender:
            drain(sender)
            assert (
                states(box) == ["stored"] and sent.listed(box.database, 10)[0].trouble["code"] == "commitment_refused"
            )  # type: ignore[index]
            peer.action_status = 0
            later.now += 100
            drain(sender)
            eventually(lambda: states(box) == ["committed"], 5)
    assert set(peer.stored.values()) == {1}


@pytest.mark.parametrize("had_arrived", [True, False])
def test_what_was_on_its_way_when_the_power_failed_is_asked_for_first(tmp_path: Path, had_arrived: bool) -> None:
    def report(*told_: Any) -> None:
        on_the_same(kept=had_arrived or bool(peer.stored))(*told_)

    peer = Archive(report=report)
    with peer.running() as port:
        box = committing(tmp_path, port)
        put_result(box)
        with connect(box.database) as database:
            with courier(box) as sender:
                item = outbox.due(database, "PACS", 1)[0]
                assert sender._maker.ensure(database, item, box.destination[0])
            outbox.begin(database, outbox.due(database, "PACS", 1)[0])
        settle(box)
    assert states(box) == ["committed"]
    assert sum(peer.stored.values()) == (0 if had_arrived else 1)
    assert states(box, "denials") == [0]


def test_without_commitment_it_is_sent_again_with_the_same_bytes(tmp_path: Path) -> None:
    peer = Archive()
    with peer.running() as port:
        box = committing(tmp_path, port)
        box = replace(box, destination=(replace(box.destination[0], commitment=False),))
        put_result(box)
        settle(box)
        database = connect(box.database)
        database.execute("UPDATE outbox SET state = 'sending'")
        database.conn.commit()
        database.close()
        settle(box)
    assert states(box) == ["stored"] and set(peer.stored.values()) == {2}
    assert [len(digests) for digests in peer.digests.values()] == [1]


def test_a_restart_waits_for_the_answer_to_what_was_asked(tmp_path: Path) -> None:
    peer = Archive()
    with peer.running() as port:
        box = committing(tmp_path, port)
        put_result(box)
        settle(box)
        settle(box)
    assert len(peer.asked) == 1 and clock.monotonic() > 0


def test_a_peer_that_aborts_before_it_is_asked_is_asked_later(
    tmp_path: Path, later: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pynetdicom.association import Association

    whole, aborts = Association.send_n_action, [True]

    def ask_after_abort(self: Association, *given: Any) -> Any:
        if aborts:
            aborts.clear()
            self.abort()
        return whole(self, *given)

    monkeypatch.setattr(Association, "send_n_action", ask_after_abort)
    with Archive(report=on_the_same()).running() as port:
        box = committing(tmp_path, port)
        put_result(box)
        settle(box)
        told_of = sent.standings(box.database, box)[0].trouble
        assert told_of is not None and told_of["code"] == "broke_off"
        settle_after(box, later)


def test_what_had_not_arrived_is_not_sent_when_a_newer_result_came(tmp_path: Path) -> None:
    box = committing(tmp_path, free_port())
    put_result(box)
    with connect(box.database) as database:
        item = outbox.due(database, "PACS", 1)[0]
        outbox.made(database, item, "1.2", "1.2.3", "")
        assert outbox.begin(database, item) and not outbox.begin(database, item)
        outbox.recover(database, box.destination[0])
        outbox.ask(database, outbox.to_ask(database, "PACS", 1), "1.9")
        database.execute("UPDATE studies SET version = 2")
        database.conn.commit()
        assert outbox.report(database, outbox.Report(transaction_uid="1.9", kept=(), denied={"1.2.3": 0x0112}))
    assert states(box) == ["superseded"]


@pytest.mark.parametrize("asked", ["wanted", "asked"])
def test_nobody_is_asked_any_more_once_the_settings_say_so(tmp_path: Path, asked: str) -> None:
    peer = Archive()
    with peer.running() as port:
        box = committing(tmp_path, port)
        put_result(box)
        settle(box)
        with connect(box.database) as database:
            database.execute("UPDATE outbox SET commitment = ?", (asked,))
            database.conn.commit()
        peer.asked.clear()
        settle(replace(box, destination=(replace(box.destination[0], commitment=False),)))
    assert states(box) == ["stored"] and states(box, "commitment") == [""] and delivered(box) and not peer.asked


@pytest.mark.parametrize("kept", [True, False])
def test_a_report_that_comes_after_the_next_request_still_counts(tmp_path: Path, later: Clock, kept: bool) -> None:
    transactions: list[tuple[str, Pairs]] = []
    peer = Archive(report=lambda association, transaction, pairs: transactions.append((transaction, pairs)))
    with peer.running() as port:
        box = committing(tmp_path, port)
        put_result(box)
        with courier(box) as sender:
            ask(sender, later)
            ask(sender, later)
            drain(sender)
        assert len(transactions) >= 2 and states(box, "commitment") != [""]
        (first, pairs), (second, _) = transactions[:2]
        uid = pairs[0][1]
        with connect(box.database) as database:
            for transaction in (first, second, first):
                denied = {} if kept else {uid: 0x0112}
                report = outbox.Report(transaction_uid=transaction, kept={uid} if kept else (), denied=denied)
                assert outbox.report(database, report), "each is one of ours"
            if kept:
                assert states(box) == ["committed"]
                return
            assert (states(box), states(box, "denials")) == (["queued"], [1]), "one sending is denied once"
        peer.report = None
        settle(box)
        with connect(box.database) as database:
            assert not outbox.report(database, report), "it told of the sending before"
    assert states(box) == ["stored"]
