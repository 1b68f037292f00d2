"""A time server of the network is asked, and its time proposed: chronyd as a real one, and others that answer badly."""

from __future__ import annotations

import os
import re
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import ntplib
import pytest

from edge import clock
from edge.health.clock_command import print_lan_time
from tests.support.box import WAIT_S, eventually

_HOUR_S = 3600


def _free_port() -> int:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def answering(answer: bytes | None) -> Iterator[int]:
    """A server on loopback with this answer, or silent."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(WAIT_S)

        def run() -> None:
            asked, asker = server.recvfrom(256)
            if answer is not None:
                server.sendto(answer[:24] + asked[40:48] + answer[32:], asker)

        thread = threading.Thread(target=run)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def packet(stratum: int, ahead_s: float, leap: int = 0) -> bytes:
    """An answer (RFC 4330, section 4) of a server whose clock is ahead."""
    moment = ntplib.system_to_ntp_time(clock.utc().timestamp() + ahead_s)
    whole, part = int(moment), int(moment % 1 * 2**32)
    times = struct.pack(">2I", whole, part)
    # The second of the times is the asker's.
    return struct.pack(">4B3I", leap << 6 | 0b00_100_100, stratum, 6, 0xEC, 0, 0, 0) + times * 4


@pytest.fixture
def chronyd(tmp_path: Path) -> Iterator[int]:
    program, port = shutil.which("chronyd", path=f"{os.environ['PATH']}:/usr/sbin"), _free_port()
    assert program is not None, "chrony is not installed: tests/support/system-packages"
    lines = ("local stratum 8", f"port {port}", "allow 127.0.0.1", "cmdport 0", "bindcmdaddress /")
    config = tmp_path / "chrony.conf"
    config.write_text("\n".join((*lines, f"pidfile {tmp_path / 'pid'}", "")))
    command = [program, "-x", "-d", "-U", "-f", config]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield port
    process.terminate()
    process.wait(WAIT_S)


def test_a_real_server_is_asked(chronyd: int, capsys: pytest.CaptureFixture[str]) -> None:
    eventually(lambda: print_lan_time("127.0.0.1", chronyd) == 0)
    said = capsys.readouterr().out
    assert re.search(r"That of the time server says .*, 0:00:00 later\.\n", said)


@pytest.mark.parametrize(("ahead_s", "words"), [(3 * _HOUR_S, "3:00:00 later"), (-2 * _HOUR_S, "2:00:00 earlier")])
def test_its_time_is_proposed_and_not_taken(
    ahead_s: int, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "set_system", lambda moment: pytest.fail("the clock was set"))
    with answering(packet(2, ahead_s)) as port:
        assert print_lan_time("127.0.0.1", port) == 0
    said = capsys.readouterr().out
    assert words in said
    (proposed,) = re.findall(r'chest-edge clock set "(.*)"', said)
    difference = datetime.fromisoformat(proposed).astimezone() - clock.utc() - timedelta(seconds=ahead_s)
    assert abs(difference) < timedelta(seconds=WAIT_S)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (packet(0, 0), "does not know the time"),
        (packet(16, 0), "does not know the time"),
        (packet(3, 0, leap=3), "does not know the time"),
        (b"", "does not answer"),
        (bytes(20), "does not answer"),
        (None, "does not answer"),
    ],
    ids=["kiss of death", "not synchronized", "not set", "empty", "garbage", "silent"],
)
def test_a_server_that_tells_no_time_is_told_of(
    answer: bytes | None, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.health.clock_command._ANSWER_S", 0.5)
    with answering(answer) as port:
        assert print_lan_time("127.0.0.1", port) == 1
    assert words in capsys.readouterr().out


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "a" * 70])
def test_a_name_that_nobody_knows_is_told_of(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_lan_time(host) == 1
    assert "does not answer" in capsys.readouterr().out
