"""What lies in the drop folder and stays there, and what is wrong with the folder itself, for the page and the doctor.

The process that takes files in keeps it, and it counts only while that process runs: nothing has
to be cleared after a kill. Codes and numbers only, since names of files may be those of patients.
Rejected: a page that looks itself, which a network share that hangs would hold up.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from sqlite_utils import Database

from edge.lifeline import identity, is_alive
from edge.store import facts
from edge.store.database import writing
from edge.types import N_

TROUBLES: Mapping[str, str] = MappingProxyType(
    {
        "missing": N_("The folder is not there. Make it, or connect the disk or the network share that it lies on."),
        "no_folder": N_("This is no folder. Choose another one (setting intake.folder)."),
        "unreadable": N_("The box may not read the folder. Give that right to the user that the box runs as."),
        "not_emptied": N_(
            "The box may not remove files from the folder. Give the right to write there to the user that the box"
            " runs as."
        ),
        "broken": N_("The folder cannot be read. Check the disk or the network share that it lies on."),
        "unwatched": N_("Nothing looks into the folder at this moment. If this stays so, start the box again."),
    }
)
"""What is wrong with the folder and what to do, by code."""

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "not_dicom": N_("No DICOM file. Only DICOM files are taken from the folder: put others elsewhere."),
        "empty_file": N_("Empty file. Copy it there again."),
        "too_large": N_("File larger than the box takes. Put it elsewhere."),
        "unopenable": N_("File that could not be opened. Check its permissions."),
        "changed": N_("File that changed while it was read. The box tries again."),
        "no_room": N_("File for which the box has no room now. It is taken once there is room."),
        "not_stored": N_("File that the box could not store. It tries again; chest-edge doctor tells what is wrong."),
        "not_removed": N_("File that the box has, but may not remove. Check the permissions of its folder."),
    }
)
"""Why files stay and what to do, by code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the drop folder stands.

    Attributes
    ----------
    trouble : a key of ``TROUBLES``, empty where the folder is well.
    left : how many files stay there, by a key of ``REASONS``.
    """

    trouble: str = ""
    left: Mapping[str, int]


def trouble(folder: Path) -> str:
    """What is wrong with a folder for this user, as a key of ``TROUBLES``; empty where nothing is seen."""
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except PermissionError:
        return "unreadable"
    except OSError:
        return "broken"
    if not is_folder:
        return "no_folder"
    if not os.access(folder, os.R_OK | os.X_OK):
        return "unreadable"
    return "" if os.access(folder, os.W_OK) else "not_emptied"


def keep(database: Database, standing: Standing) -> None:
    """Keep how it stands, for as long as this process runs.

    Raises
    ------
    StorageError
        What was kept before still stands.
    """
    told = {"owner": identity(os.getpid()), "trouble": standing.trouble, "left": dict(standing.left)}
    with writing(database):
        facts.keep(database, facts.DROP_FOLDER, json.dumps(told))


def standing(database: Database) -> Standing:
    """How the folder stood when it was last looked at; ``unwatched`` where the process that looks is gone."""
    told = json.loads(facts.text(database, facts.DROP_FOLDER) or "{}")
    if not told or not is_alive(told["owner"]):
        return Standing(trouble="unwatched", left={})
    return Standing(trouble=told["trouble"], left=told["left"])
