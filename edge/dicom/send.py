"""A small sender: Verification and Storage SCU (PS3.4 annexes A and B), for the demonstration and for checks.

Each file is offered in its own transfer syntax, so that nothing has to be decoded to be sent.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import UID
from pynetdicom import AE

VERIFICATION = UID("1.2.840.10008.1.1")
TITLE = "CHESTEDGE-SCU"
"""AE title that the box calls itself with."""

_TIMEOUT_S = 30
_ECHO_TIMEOUT_S = 2.0


def echo(host: str, port: int, called_ae_title: str, context: ssl.SSLContext | None = None) -> bool:
    """Whether a C-ECHO to this address succeeds, over TLS where a context is given."""
    entity = _entity(_ECHO_TIMEOUT_S)
    entity.add_requested_context(VERIFICATION)
    association = entity.associate(host, port, ae_title=called_ae_title, tls_args=_tls_args(context, host))
    if not association.is_established:
        return False
    status = association.send_c_echo()
    association.release()
    return bool("Status" in status and status.Status == 0)


def send(
    paths: Sequence[Path], host: str, port: int, called_ae_title: str, context: ssl.SSLContext | None = None
) -> list[int | None]:
    """Send files over one association, over TLS where a context is given.

    Returns
    -------
    The answered status of each file, None where there was no answer.
    """
    datasets = [dcmread(path) for path in paths]
    entity = _entity(_TIMEOUT_S)
    for dataset in datasets:
        entity.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    association = entity.associate(host, port, ae_title=called_ae_title, tls_args=_tls_args(context, host))
    if not association.is_established:
        return [None] * len(datasets)
    statuses = [association.send_c_store(dataset).get("Status") for dataset in datasets]
    association.release()
    return [None if status is None else int(status) for status in statuses]


def _tls_args(context: ssl.SSLContext | None, host: str) -> tuple[ssl.SSLContext, str] | None:
    return None if context is None else (context, host)


def _entity(timeout_s: float) -> AE:
    entity = AE(ae_title=TITLE)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = timeout_s
    return entity
