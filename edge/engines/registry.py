"""Which model files exist and may be loaded: ``models/registry.toml``.

A file whose SHA-256 is not the registered one is never given to a runtime, and a set of
thresholds that names another SHA-256 refuses to serve: thresholds belong to one file.
The hash is taken of the same bytes that are then run.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from edge.engines.engine import Engine, ModelCard
from edge.engines.ort import OrtEngine
from edge.errors import ModelError

__all__ = ["Cards", "Engine", "ModelCard", "card", "cards", "check", "default_folder", "load", "verified_bytes"]

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


Cards = dict[str, ModelCard]


def default_folder() -> Path:
    """The ``models`` folder that is installed beside this package."""
    return Path(str(files("models")))


def cards(folder: Path | None = None) -> Cards:
    """Every registered model by name.

    Raises
    ------
    ModelError
        ``threshold_mismatch`` where thresholds are bound to another file, ``registry_broken``.
    """
    folder = folder or default_folder()
    return {name: _card(folder, name, entry) for name, entry in _entries(folder).items()}


def card(name: str, folder: Path | None = None) -> ModelCard:
    """One registered model; what is wrong with the others does not matter.

    Raises
    ------
    ModelError
        ``model_unknown``, ``threshold_mismatch`` or ``registry_broken``.
    """
    folder = folder or default_folder()
    entries = _entries(folder)
    if name not in entries:
        raise ModelError("model_unknown", model=name)
    return _card(folder, name, entries[name])


def _entries(folder: Path) -> dict[str, dict[str, Any]]:
    try:
        entries = tomllib.loads((folder / "registry.toml").read_text(encoding="utf-8"))["models"]
        return {name: dict(entry) for name, entry in entries.items()}
    except (OSError, KeyError, AttributeError, TypeError, ValueError) as error:  # not UTF-8 or TOML: ValueError too
        raise ModelError("registry_broken") from error


def _card(folder: Path, name: str, entry: dict[str, Any]) -> ModelCard:
    try:
        thresholds = dict(entry["thresholds"])
        if thresholds.pop("sha256") != entry["sha256"]:
            raise ModelError("threshold_mismatch", model=name)
        return ModelCard(
            name=name,
            version=entry["version"],
            path=folder / entry["file"],
            sha256=entry["sha256"],
            precision=entry["precision"],
            side=entry["side"],
            mean=entry["mean"],
            std=entry["std"],
            outputs=tuple(entry["outputs"]),
            thresholds=thresholds,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError("registry_broken") from error


def verified_bytes(card: ModelCard) -> bytes:
    """The model file, if it is the registered one.

    Raises
    ------
    ModelError
        ``model_missing`` or ``model_hash_mismatch``.
    """
    try:
        content = card.path.read_bytes()
    except OSError as error:
        raise ModelError("model_missing", model=card.name) from error
    if hashlib.sha256(content).hexdigest() != card.sha256:
        raise ModelError("model_hash_mismatch", model=card.name)
    return content


def load(card: ModelCard, threads: int) -> Engine:
    """Load a model on the engine of this machine.

    Raises
    ------
    ModelError
        Where the file is not the registered one or cannot be run.
    """
    return OrtEngine(card, verified_bytes(card), threads)


def check(needed: Iterable[str] = (), folder: Path | None = None) -> dict[str, ModelError | None]:
    """What is wrong with each registered or needed model, or None where nothing is.

    Raises
    ------
    ModelError
        ``registry_broken`` where not even the names of the models are known.
    """
    folder = folder or default_folder()
    return {name: _fault(name, folder) for name in sorted({*_entries(folder), *needed})}


def _fault(name: str, folder: Path) -> ModelError | None:
    try:
        load(card(name, folder), threads=1)
    except ModelError as error:
        return error
    return None
