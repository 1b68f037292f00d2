"""Which model files exist and may be loaded: ``models/registry.toml``.

A file whose SHA-256 is not the registered one is never given to a runtime, and a set of
thresholds that names another SHA-256 refuses to serve: thresholds belong to one file.
The hash is taken of the same bytes that are then run.
"""

from __future__ import annotations

import hashlib
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from edge.engines.engine import Engine, ModelCard
from edge.engines.ort import OrtEngine
from edge.errors import ModelError

__all__ = ["Cards", "Engine", "ModelCard", "cards", "check", "default_folder", "load", "verified_bytes"]

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
        ``threshold_mismatch`` where thresholds are bound to another file.
    """
    folder = folder or default_folder()
    registry = tomllib.loads((folder / "registry.toml").read_text(encoding="utf-8"))
    return {name: _card(folder, name, entry) for name, entry in registry["models"].items()}


def _card(folder: Path, name: str, entry: dict[str, Any]) -> ModelCard:
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


def check(folder: Path | None = None) -> dict[str, ModelError | None]:
    """What is wrong with each registered model, or None where nothing is."""
    found: dict[str, ModelError | None] = {}
    for name, card in cards(folder).items():
        try:
            load(card, threads=1)
            found[name] = None
        except ModelError as error:
            found[name] = error
    return found
