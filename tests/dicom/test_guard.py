"""Who gets in and who does not, tried with real connections from addresses of 127.0.0.0/8."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge import clock
from edge.config import DicomSettings, Settings
from edge.dicom import certificates, lobby
from edge.dicom.guard import UNKNOWN_CALLED, UNKNOWN_CALLING, Refusals, Rules
from edge.dicom.receive import application_entity
from edge.dicom.send import TITLE, echo
from edge.dicom.tls import client_context
from edge.errors import SetupError
from tests.support import inputs, peers
from tests.support.box import WAIT_S, echoscu, eventually, storescu
from tests.support.peers import connected, quick_echo, read_pdu, request
from tests.support.receivers import receiver
from tests.support.studies import ready_box
from tests.support.tls import dcmtk_options, issued


def answer(port: int, sent: bytes, source: str = "127.0.0.1") -> bytes:
    with connected(port, source) as connection:
        connection.sendall(sent)
        return read_pdu(connection)


# The lists


@pytest.mark.parametrize("text", ["", "192.168.1", "192.168.1.0/33", "modality.local", "10.0.0.1 "])
def test_an_address_that_cannot_be_one_is_named(text: str) -> None:
    with pytest.raises(SetupError, match=r"bad_setting: Setting dicom\.addresses"):
        Rules(Settings(dicom=DicomSettings(addresses=(text,))))


@pytest.mark.parametrize("title", ["", "  ", "A" * 17, "A\\B", "É", "A\nB"])
@pytest.mark.parametrize("name", ["calling_ae_titles", "called_ae_titles"])
def test_an_ae_title_that_cannot_be_one_is_named(name: str, title: str) -> None:
    with pytest.raises(SetupError, match=f"bad_setting: Setting dicom.{name}"):
        Rules(Settings(dicom=DicomSettings(**{name: (title,)})))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("addresses", "host", "may"),
    [
        ((), "203.0.113.9", True),
        (("192.168.1.7",), "192.168.1.7", True),
        (("192.168.1.7",), "192.168.1.8", False),
        (("192.168.1.0/24",), "192.168.1.200", True),
        (("192.168.1.9/24",), "192.168.2.1", False),
        (("10.0.0.0/8", "fe80::/10"), "fe80::1%eth0", True),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), "::ffff:11.1.2.3", False),
        (("10.0.0.0/8",), "2001:db8::1", False),
        (("10.0.0.0/8",), "127.0.0.1", True),
        (("10.0.0.0/8",), "127.0.0.2", False),
    ],
)
def test_addresses_and_networks(addresses: tuple[str, ...], host: str, may: bool) -> None:
    assert Rules(Settings(dicom=DicomSettings(addresses=addresses))).may_connect(host) is may


def test_the_called_title_is_checked_unless_any_is_allowed() -> None:
    rules = Rules(Settings(dicom=DicomSettings(called_ae_titles=("WARD2",))))
    assert rules.rejection("10.0.0.1", "CHESTEDGE", "X") is None
    assert rules.rejection("10.0.0.1", "WARD2", "X") is None
    assert rules.rejection("10.0.0.1", "ward2", "X") is UNKNOWN_CALLED
    anybody = Rules(Settings(dicom=DicomSettings(called_ae_titles=("*",))))
    assert anybody.rejection("10.0.0.1", "ANY", "X") is None


def test_the_box_itself_needs_no_place_on_the_list_of_callers() -> None:
    rules = Rules(Settings(dicom=DicomSettings(calling_ae_titles=("XRAY",))))
    assert rules.rejection("10.0.0.1", "CHESTEDGE", "XRAY") is None
    assert rules.rejection("10.0.0.1", "CHESTEDGE", TITLE) is UNKNOWN_CALLING
    assert rules.rejection("127.0.0.1", "CHESTEDGE", "OTHER") is UNKNOWN_CALLING
    assert rules.rejection("127.0.0.1", "CHESTEDGE", TITLE) is None


# Refused on the wire


def test_wrong_titles_and_addresses_are_rejected_by_name(tmp_path: Path) -> None:
    allowed = {"addresses": ("127.0.0.8/29",), "calling_ae_titles": ("XRAY",), "called_ae_titles": ("WARD2",)}
    with receiver(tmp_path, **allowed) as box:
        assert echoscu(box.port, "-aet", "XRAY") == echoscu(box.port, "-aet", "XRAY", called="WARD2") == 0
        assert echo("127.0.0.1", box.port, "CHESTEDGE")
        assert echoscu(box.port, "-aet", "XRAY", called="OTHER") != 0
        assert echoscu(box.port, "-aet", "STRANGER") != 0
        assert answer(box.port, request(called="OTHER", calling="XRAY"))[6:] == b"\0\1\1\7"
        assert answer(box.port, request(calling="STRANGER"))[6:] == b"\0\1\1\3"
        assert answer(box.port, request(calling="XRAY"), "127.0.0.9")[0] == 2
        assert answer(box.port, request(calling="XRAY"), "127.0.0.16") == b""
        assert box.refused("address") == ["127.0.0.16"]
        assert box.refused("calling_ae_title") == box.refused("called_ae_title") == ["127.0.0.1"]


def test_beyond_the_limit_a_sender_is_told_to_retry(tmp_path: Path) -> None:
    with receiver(tmp_path, max_associations=2) as box, ExitStack() as open_ones:
        held = [open_ones.enter_context(connected(box.port, f"127.0.0.{n}")) for n in (2, 3)]
        for connection in held:
            connection.sendall(request())
            assert read_pdu(connection)[0] == 2
        assert answer(box.port, request())[6:] == b"\0\2\3\2"  # rejected-transient, local-limit-exceeded
        said = subprocess.run(
            ["echoscu", "-aec", "CHESTEDGE", "127.0.0.1", str(box.port)], capture_output=True, text=True, check=False
        )
        assert "Rejected Transient" in said.stderr and "Local Limit Exceeded" in said.stderr
        held[0].sendall(peers.RELEASE_RQ)
        assert read_pdu(held[0])[0] == 6
        eventually(lambda: echoscu(box.port) == 0)


def test_one_address_holds_so_many_connections_and_no_more(tmp_path: Path) -> None:
    with receiver(tmp_path, max_per_address=3) as box, ExitStack() as open_ones:
        held = [open_ones.enter_context(connected(box.port, "127.0.0.2")) for _ in range(3)]
        held[0].sendall(request())  # associated or not, it counts
        assert read_pdu(held[0])[0] == 2
        assert answer(box.port, request(), "127.0.0.2") == b""
        assert quick_echo(box.port, "127.0.0.3") is not None
        held[0].sendall(peers.ABORT)
        held[1].close()
        eventually(lambda: quick_echo(box.port, "127.0.0.2"))


def test_silent_connections_from_everywhere_take_no_place_and_no_thread(tmp_path: Path) -> None:
    with receiver(tmp_path, max_associations=1) as box, ExitStack() as open_ones:
        assert quick_echo(box.port) is not None
        before = peers.threads(box.process.pid)
        for number in range(300):  # more than the lobby holds
            open_ones.enter_context(connected(box.port, f"127.0.1.{number % 250 + 1}"))
        assert quick_echo(box.port) is not None
        assert echoscu(box.port) == 0
        eventually(lambda: peers.threads(box.process.pid) <= before)
        assert box.refused("lobby_full")


def test_associations_that_stand_still_make_room_when_all_places_are_taken(tmp_path: Path) -> None:
    with receiver(tmp_path, max_associations=2) as box, ExitStack() as open_ones:
        held = [open_ones.enter_context(connected(box.port, f"127.0.0.{n}")) for n in (2, 3)]
        for connection in held:
            connection.sendall(request())
            assert read_pdu(connection)[0] == 2
        stirring = 0

        def comes_in() -> bool:
            nonlocal stirring
            held[1].sendall(peers.echo_request())  # this one works all the time
            stirring += read_pdu(held[1])[:1] == b"\4"
            return quick_echo(box.port) is not None

        assert not comes_in()
        eventually(comes_in, 25)  # before the library's own limit of 30 s
        assert box.refused("still") == ["127.0.0.2"]
        assert stirring > 1


def test_silence_is_cut_and_so_is_a_pdu_that_trickles(tmp_path: Path) -> None:
    def silent(port: int) -> float:
        with connected(port) as connection:
            return peers.seconds_until_cut(connection)

    def slow_request(port: int) -> float:
        with connected(port) as connection:
            return peers.seconds_until_cut(connection, request())

    def slow_data(port: int) -> float:
        with connected(port) as connection:
            connection.sendall(request())
            read_pdu(connection)
            return peers.seconds_until_cut(connection, peers.echo_request())

    with receiver(tmp_path) as box, ThreadPoolExecutor(3) as pool:
        trials = [pool.submit(peer, box.port) for peer in (silent, slow_request, slow_data)]
        seconds = [trial.result() for trial in trials]
        assert 4.5 < seconds[0] < 9.5 < min(seconds[1:]) and max(seconds[1:]) < 20
        assert len(box.refused("silent")) == len(box.refused("pdu_too_slow")) == 1


@pytest.mark.parametrize("associated", [False, True])
def test_a_huge_pdu_is_not_taken_in(tmp_path: Path, associated: bool) -> None:
    with receiver(tmp_path) as box, connected(box.port) as connection:
        if associated:
            connection.sendall(request())
            assert read_pdu(connection)[0] == 2
        before = peers.rss_mib(box.process.pid)
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            connection.sendall(bytes((4 if associated else 1, 0)) + b"\xff" * 4)
            for _ in range(300):
                connection.sendall(bytes(1 << 20))
        assert peers.rss_mib(box.process.pid) < before + 30
        assert box.refused("pdu_too_long") == ["127.0.0.1"]


def test_what_is_no_association_is_sent_away_at_once(tmp_path: Path) -> None:
    with receiver(tmp_path) as box:
        for sent in (b"GET / HTTP/1.1\r\n\r\n", peers.echo_request(), peers.pdu(1, bytes(200))):
            assert answer(box.port, sent)[:1] == b"\7"
        assert quick_echo(box.port) is not None


def test_a_malformed_message_ends_its_own_association_only(tmp_path: Path) -> None:
    with receiver(tmp_path) as box:
        before = peers.threads(box.process.pid)
        broken = peers.echo_request()[:-40]
        assert answer(box.port, broken)[:1] == b"\7"
        for _ in range(20):
            with connected(box.port) as connection:
                connection.sendall(request())
                read_pdu(connection)
                connection.sendall(peers.pdu(4, b"\0\0\0\x0c\1\3" + bytes(10)))
                assert read_pdu(connection)[:1] in (b"", b"\7")
        eventually(lambda: peers.threads(box.process.pid) == before)
        assert quick_echo(box.port) is not None
        assert "Traceback" not in (box.settings.run_dir / "receiver.log").read_text()


# What is said of it


def test_a_flood_is_logged_by_a_few_names_and_a_sum(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(clock, "monotonic", lambda: now.seconds)
    refusals = Refusals()
    for number in range(5000):
        refusals.note(f"10.0.{number % 250}.1", "silent")
        refusals.tell()
    assert len(capfd.readouterr().err.splitlines()) == 20
    now.seconds += 61
    refusals.tell()
    (line,) = capfd.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["event"], told["code"], told["count"]) == ("connections_refused", "silent", 5000)
    refusals.note("10.0.0.1", "silent")  # a new minute names it again
    assert '"host": "10.0.0.1"' in capfd.readouterr().err


def test_a_machine_that_starts_no_thread_keeps_the_door_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refused(thread: threading.Thread) -> None:
        raise RuntimeError

    monkeypatch.setattr(threading.Thread, "start", refused)
    refusals = Refusals(tmp_path / "box.sqlite")
    refusals.note("10.0.0.1", "silent")
    refusals.tell(now=True)
    assert "no_thread" in capfd.readouterr().err


# TLS, with dcmtk as the other side


def test_dcmtk_sends_and_echoes_over_tls_and_nobody_without(tmp_path: Path) -> None:
    image = inputs.chest_dicom(tmp_path / "a.dcm")
    with receiver(tmp_path, tls=True) as box:
        stick = issued(box.settings, tmp_path / "stick")
        options = dcmtk_options(stick)
        assert echoscu(box.port, *options) == 0
        assert storescu(box.port, [image], *options) == 0
        assert len(list(box.settings.incoming.iterdir())) == 1
        assert echoscu(box.port) != 0
        anonymous = ("+tla", "+cf", str(stick / "ca.crt"))
        assert echoscu(box.port, *anonymous) != 0
        assert storescu(box.port, [image], *anonymous) != 0
        assert box.refused("tls") == ["127.0.0.1"]


def test_whoever_works_on_the_certificates_keeps_nobody_from_speaking_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lobby, "_CONTEXT_S", 0.0)
    settings = replace(ready_box(tmp_path / "box"), dicom=DicomSettings(port=0, tls=True))
    server = lobby.Server(settings, application_entity(settings), [])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        context, port = client_context(settings), server.server_address[1]
        assert echo("127.0.0.1", port, "CHESTEDGE", context)
        with certificates.opened(settings):
            assert echo("127.0.0.1", port, "CHESTEDGE", context)
    finally:
        server.shutdown()
        thread.join()


def test_silent_peers_do_not_keep_tls_from_others(tmp_path: Path) -> None:
    with receiver(tmp_path, tls=True) as box, ExitStack() as open_ones:
        context = client_context(box.settings)
        before = peers.threads(box.process.pid)
        held: list[socket.socket] = []
        for number in range(40):
            held.append(open_ones.enter_context(connected(box.port, f"127.0.0.{number + 2}")))
            held[-1].sendall(b"\x16\x03\x01"[: number % 4])  # nothing, or the start of a handshake
        assert echo("127.0.0.1", box.port, "CHESTEDGE", context)
        eventually(lambda: peers.threads(box.process.pid) <= before)
        cut = threading.Thread(target=lambda: [connection.recv(1) for connection in held])
        cut.start()
        cut.join(WAIT_S)
        assert not cut.is_alive()
