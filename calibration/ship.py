"""Make a shipped model out of a checkpoint: export, quantize, fit thresholds, register.

    python -m calibration.ship lung_field --data ../shared/data

Activation ranges come from training images, thresholds and temperatures from validation
images, and both are written to ``models/registry.toml`` under the SHA-256 of the file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from calibration import fit, quantize
from edge.engines.engine import ModelCard
from edge.engines.registry import default_folder, load
from models.training import frontal_gate, lung_field, opacity, pneumonia
from models.training.backbone import MEAN, STD

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_CALIBRATION_IMAGES = 160
_HEADER = """\
# Every model that the box may load. Written by `python -m calibration.ship`.
# Thresholds are bound to the SHA-256 of the file that they were fitted on.
"""


@dataclass(frozen=True, slots=True)
class Shipment:
    """How one model is made.

    Attributes
    ----------
    recipe : module of ``models.training`` with ``Config``, ``OUTPUTS``, ``network`` and ``calibration_tiles``,
        and ``finish`` where something is added to the trained network.
    thresholds : limits from the data, the model's card and the folder of checkpoints.
    """

    version: str
    recipe: ModuleType
    thresholds: Callable[[Path, ModelCard, Path], dict[str, Any]]


SHIPMENTS = {
    "frontal_gate": Shipment("1.0.0", frontal_gate, fit.frontal_gate),
    "lung_field": Shipment("2.0.0", lung_field, fit.lung_field),
    "opacity": Shipment("1.0.0", opacity, fit.opacity_limits),
    "pneumonia": Shipment("2.0.0", pneumonia, fit.pneumonia_thresholds),
}


def ship(name: str, root: Path, checkpoint: Path, folder: Path) -> ModelCard:
    """Write ``<folder>/<name>/model.onnx`` and its registry entry."""
    import torch

    shipment = SHIPMENTS[name]
    recipe, config = shipment.recipe, shipment.recipe.Config()
    network = recipe.network(config)
    network.load_state_dict(torch.load(checkpoint, weights_only=True))
    if hasattr(recipe, "finish"):
        network = recipe.finish(network, root)
    exact = checkpoint.with_suffix(".onnx")
    quantize.export(network, config.side, exact)
    target = folder / name / "model.onnx"
    target.parent.mkdir(parents=True, exist_ok=True)
    tiles = recipe.calibration_tiles(root, _CALIBRATION_IMAGES)
    quantize.quantize(exact, target, [((tile - MEAN) / STD)[None, None].astype(np.float32) for tile in tiles])
    card = _card(name, shipment, target)
    _register(folder, card, shipment.thresholds(root, card, checkpoint.parent))
    return card


def _card(name: str, shipment: Shipment, path: Path) -> ModelCard:
    return ModelCard(
        name=name,
        version=shipment.version,
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        precision="int8",
        side=shipment.recipe.Config().side,
        mean=MEAN,
        std=STD,
        outputs=shipment.recipe.OUTPUTS,
        thresholds={},
    )


def _register(folder: Path, card: ModelCard, thresholds: Mapping[str, Any]) -> None:
    path = folder / "registry.toml"
    known = tomllib.loads(path.read_text(encoding="utf-8"))["models"] if path.exists() else {}
    known[card.name] = {
        "version": card.version,
        "file": f"{card.name}/model.onnx",
        "sha256": card.sha256,
        "precision": card.precision,
        "side": card.side,
        "mean": card.mean,
        "std": card.std,
        "outputs": list(card.outputs),
        "thresholds": {"sha256": card.sha256, **thresholds},
    }
    path.write_text(_HEADER + "".join(_table(n, known[n]) for n in sorted(known)), encoding="utf-8")


def _table(name: str, entry: Mapping[str, Any]) -> str:
    """One model as TOML; JSON's strings, numbers and lists are TOML's."""
    thresholds = entry["thresholds"]
    plain = [f"{key} = {json.dumps(value)}" for key, value in entry.items() if key != "thresholds"]
    bound = [f"{key} = {json.dumps(value)}" for key, value in thresholds.items()]
    return "\n".join(["", f"[models.{name}]", *plain, "", f"[models.{name}.thresholds]", *bound, ""])


def main() -> None:
    """Ship one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(SHIPMENTS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, help="default: build/training/<name>.pt")
    parser.add_argument("--models", type=Path, help="folder of another registry.toml")
    given = parser.parse_args()
    checkpoint = given.checkpoint or Path("build/training") / f"{given.name}.pt"
    card = ship(given.name, given.data, checkpoint, given.models or default_folder())
    load(card, threads=1)


if __name__ == "__main__":
    main()
