"""Everybody who must stay outside tries to echo with dcmtk, over plain TCP and over TLS."""

from __future__ import annotations

import shutil
import ssl
import warnings
from collections.abc import Callable
from pathlib import Path

from edge.config import Settings
from edge.dicom import certificates
from edge.dicom.send import echo
from tests.faults.row import Outcome, Row, Trial
from tests.support.box import echoscu
from tests.support.peers import quick_echo
from tests.support.receivers import Receiver, receiver
from tests.support.tls import dcmtk_options, expired, issued, modality_context

_LISTS = {"addresses": ("127.0.0.0/30",), "calling_ae_titles": ("XRAY-1", "PEER"), "tls": False}
_Trial = Callable[[], bool]


def run(trial: Trial) -> Outcome:
    """Every stranger is tried, and after each of them somebody who may enter."""
    (trial.folder / "plain").mkdir()
    (trial.folder / "tls").mkdir()
    turns = trial.count(1, 10)
    with receiver(trial.folder / "plain", **_LISTS) as plain, receiver(trial.folder / "tls", tls=True) as secured:
        served_plain, kept_out_plain = _plain(plain)
        served_tls, kept_out_tls = _tls(secured, trial.folder)
        friends, strangers = served_plain + served_tls, kept_out_plain | kept_out_tls
        let_in = [name for _ in range(turns) for name, attempt in strangers.items() if attempt()]
        served = [attempt() for _ in range(turns) for attempt in friends]
    figure = (
        f"{turns * len(strangers) - len(let_in)} of {turns * len(strangers)} attempts of {len(strangers)} kinds "
        f"rejected{': not ' if let_in else ''}{', '.join(let_in)}; {sum(served)} of {len(served)} others served"
    )
    return Outcome(figure=figure, ok=not let_in and all(served))


def _plain(box: Receiver) -> tuple[list[_Trial], dict[str, _Trial]]:
    strangers: dict[str, _Trial] = {
        "wrong called title": lambda: echoscu(box.port, "-aet", "XRAY-1", called="OTHER") == 0,
        "wrong calling title": lambda: echoscu(box.port, "-aet", "STRANGER") == 0,
        "wrong address": lambda: quick_echo(box.port, "127.0.0.9") is not None,
    }
    friends: list[_Trial] = [
        lambda: echoscu(box.port, "-aet", "XRAY-1") == 0,
        lambda: quick_echo(box.port, "127.0.0.2") is not None,
    ]
    return friends, strangers


def _tls(box: Receiver, folder: Path) -> tuple[list[_Trial], dict[str, _Trial]]:
    stick = issued(box.settings, folder / "stick")
    ca = stick / "ca.crt"
    foreign = issued(Settings(data_dir=folder / "another"), folder / "foreign")
    shutil.copy(ca, foreign / "ca.crt")  # it knows the box; the box does not know it
    old = expired(box.settings, folder / "old")
    stolen = issued(box.settings, folder / "stolen", "STOLEN")
    certificates.revoke(box.settings, "STOLEN")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        outdated = modality_context(stick, ca, newest=ssl.TLSVersion.TLSv1_1)
    modern = modality_context(stick, ca)
    strangers: dict[str, _Trial] = {
        "no TLS": lambda: echoscu(box.port) == 0,
        "no certificate": lambda: echoscu(box.port, "+tla", "+cf", str(ca)) == 0,
        "foreign certificate": lambda: echoscu(box.port, *dcmtk_options(foreign)) == 0,
        "expired certificate": lambda: echoscu(box.port, *dcmtk_options(old, "OLD")) == 0,
        "revoked certificate": lambda: echoscu(box.port, *dcmtk_options(stolen, "STOLEN")) == 0,
        "TLS 1.1": lambda: echo("127.0.0.1", box.port, "CHESTEDGE", outdated),
    }
    friends: list[_Trial] = [
        lambda: echoscu(box.port, *dcmtk_options(stick)) == 0,
        lambda: echo("127.0.0.1", box.port, "CHESTEDGE", modern),
    ]
    return friends, strangers


ROW = Row(number=26, goal="wrong AE title, address or certificate: rejected; TLS >= 1.2, mutual", run=run)
