"""``chest-edge certificate``: makes, lists and revokes the certificates of other devices."""

from __future__ import annotations

from pathlib import Path

from edge.config import Settings
from edge.dicom import certificates


def issue(settings: Settings, name: str, folder: Path, server: bool) -> int:
    """Make a key and a certificate for a device in a folder, and say what to do with them.

    Raises
    ------
    SetupError
        For a name that is none or taken, and where the folder cannot be written.
    """
    password = certificates.issue(settings, name, folder, server=server)
    print(f"{name}.key, {name}.crt and ca.crt are in {folder}.")
    print(f"{name}.p12 holds all three; its password is {password} and is not shown again.")
    print("Whoever has the key can send as this device: carry it there, then delete the folder.")
    return 0


def print_all(settings: Settings) -> int:
    """Print every certificate, and when it ends."""
    for entry in certificates.listed(settings):
        print(f"{entry.name}: {'revoked' if entry.revoked else f'ends on {entry.ends_at:%Y-%m-%d}'}")
    return 0


def revoke(settings: Settings, name: str) -> int:
    """Refuse a certificate from the next connection on.

    Raises
    ------
    SetupError
        Where none was issued under this name.
    """
    certificates.revoke(settings, name)
    print(f"The certificate of {name} is refused from the next connection on.")
    return 0
