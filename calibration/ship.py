"""Make a shipped model out of a checkpoint: export, quantize, fit thresholds, pass the gate, register.

    python -m calibration.ship lung_field --data ../shared/data

Activation ranges come from training images, thresholds and temperatures from validation
images, and both are written to ``models/registry.toml`` under the SHA-256 of the file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from calibration import answers, correction, ct_answers, fit, gate, quantize, sensitivity
from calibration.fit import Origin
from edge.engines.engine import Engine, ModelCard
from edge.engines.registry import default_folder, load
from models.evaluation.precision import reports
from models.training import ct_covid19, ct_lung, frontal_gate, lung_field, opacity, pneumonia
from models.training.backbone import MEAN, STD

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_CALIBRATION_IMAGES = 160
_CORRECTION_IMAGES = 40
_SENSITIVITY_IMAGES = 16
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
    thresholds : its limits, from validation images.
    answers : what the release gate asks of it.
    most_dice_fall : what it may lose of any mean overlap.
    """

    version: str
    recipe: ModuleType
    thresholds: Callable[[Origin, ModelCard], dict[str, Any]]
    answers: Callable[[Origin, Engine], gate.Answers]
    most_dice_fall: float = gate.MOST_DICE_FALL


SHIPMENTS = {
    "ct_covid19": Shipment("1.0.0", ct_covid19, fit.ct_covid19, ct_answers.ct_covid19),
    "ct_lung": Shipment("1.0.0", ct_lung, fit.ct_lung, ct_answers.ct_lung, most_dice_fall=0.003),
    "frontal_gate": Shipment("1.0.0", frontal_gate, fit.frontal_gate, answers.frontal_gate),
    "lung_field": Shipment("2.0.0", lung_field, fit.lung_field, answers.lung_field),
    "opacity": Shipment("1.0.0", opacity, fit.opacity_limits, answers.opacity),
    "pneumonia": Shipment("2.0.0", pneumonia, fit.pneumonia_thresholds, answers.pneumonia),
}


@dataclass(frozen=True, slots=True)
class _Making:
    """A model on its way: the exact file, the one that is tried, and what it is calibrated on."""

    name: str
    origin: Origin
    exact: Path
    target: Path
    tiles: list[npt.NDArray[np.float32]]

    @property
    def shipment(self) -> Shipment:
        return SHIPMENTS[self.name]


def ship(name: str, checkpoint: Path, origin: Origin) -> ModelCard:
    """Write ``<folder>/<name>/model.onnx``, its registry entry and the report of the release gate.

    The exported FP32 network is left as ``<name>.onnx`` beside the checkpoint, or in the folder
    where that is not the box's own, for ``python -m models.evaluation --exact``. What is tried
    lies beside it: the folder holds a model that the registry knows at every moment.
    """
    folder, recipe = origin.folder, SHIPMENTS[name].recipe
    beside = checkpoint.parent if folder == default_folder() else folder
    making = _Making(
        name=name,
        origin=origin,
        exact=_export(recipe, checkpoint, origin, beside / f"{name}.onnx"),
        target=beside / f"{name}.int8.onnx",
        tiles=recipe.calibration_tiles(origin.root, _CALIBRATION_IMAGES, **_leaving_out(origin)),
    )
    card, tried = _gated(making)
    path = folder / name / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(card.path, path)
    card = replace(card, path=path)
    _register(folder, card)
    _report(folder, card, tried)
    return card


def _leaving_out(origin: Origin) -> dict[str, Any]:
    """The argument of a recipe that can leave sources out."""
    return {"left_out": origin.left_out} if origin.left_out else {}


def _export(recipe: ModuleType, checkpoint: Path, origin: Origin, path: Path) -> Path:
    import torch

    config = recipe.Config()
    network = recipe.network(config)
    network.load_state_dict(torch.load(checkpoint, weights_only=True))
    if hasattr(recipe, "finish"):
        network = recipe.finish(network, origin.root, **_leaving_out(origin))
    quantize.export(network, config.side, path)
    return path


def _gated(making: _Making) -> tuple[ModelCard, list[dict[str, Any]]]:
    """The card of the first attempt that the gate lets pass, else that of the FP32 network."""
    tried: list[dict[str, Any]] = []
    harmful: list[str] = []
    for attempt in gate.ATTEMPTS:
        if attempt.harmful_exact and not harmful:
            harmful = _harmful(making)
        card, verdict, kept = _attempted(making, attempt, harmful)
        tried.append({"attempt": attempt.name, "passed": verdict.passed, "fp32_layers": kept, **verdict.measures})
        if verdict.passed:
            return card, tried
    shutil.copyfile(making.exact, making.target)
    return _with_thresholds(making, _card(making, making.target, "fp32")), tried


def _attempted(
    making: _Making, attempt: gate.Attempt, harmful: Sequence[str]
) -> tuple[ModelCard, gate.Verdict, list[str]]:
    kept = _kept_exact(making, attempt, harmful)
    normalised = [((tile - MEAN) / STD)[None, None].astype(np.float32) for tile in making.tiles]
    quantize.quantize(making.exact, making.target, normalised, kept)
    if attempt.corrected:
        correction.correct_biases(making.exact, making.target, normalised[:: _CALIBRATION_IMAGES // _CORRECTION_IMAGES])
    card = _with_thresholds(making, _card(making, making.target, "int8"))
    exact = replace(_card(making, making.exact, "fp32"), thresholds=card.thresholds)
    said = [making.shipment.answers(making.origin, load(c, threads=2)) for c in (exact, card)]
    return card, gate.compare(said[0], said[1], making.shipment.most_dice_fall), kept


def _kept_exact(making: _Making, attempt: gate.Attempt, harmful: Sequence[str]) -> list[str]:
    layers = sensitivity.layers(making.exact)
    ends = {layers[0], layers[-1]} if attempt.ends_exact else set()
    return [name for name in layers if name in ends | set(harmful[: attempt.harmful_exact])]


def _harmful(making: _Making) -> list[str]:
    """Layers of the file that the first attempt makes, the most harmful ones first."""
    normalised = [((tile - MEAN) / STD)[None, None].astype(np.float32) for tile in making.tiles]
    quantize.quantize(making.exact, making.target, normalised)
    exact = load(_card(making, making.exact, "fp32"), threads=2)
    shown = making.tiles[:: _CALIBRATION_IMAGES // _SENSITIVITY_IMAGES]
    return sensitivity.most_harmful_first(exact, _card(making, making.target, "int8"), shown)


def _with_thresholds(making: _Making, card: ModelCard) -> ModelCard:
    return replace(card, thresholds=making.shipment.thresholds(making.origin, card))


def _card(making: _Making, path: Path, precision: str) -> ModelCard:
    return ModelCard(
        name=making.name,
        version=making.shipment.version,
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        precision=precision,
        side=making.shipment.recipe.Config().side,
        mean=MEAN,
        std=STD,
        outputs=making.shipment.recipe.OUTPUTS,
        thresholds={},
    )


def _report(folder: Path, card: ModelCard, tried: list[dict[str, Any]]) -> None:
    where = reports(folder)
    where.mkdir(exist_ok=True)
    report = {"sha256": card.sha256, "precision": card.precision, "attempts": tried}
    (where / f"{card.name}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _register(folder: Path, card: ModelCard) -> None:
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
        "thresholds": {"sha256": card.sha256, **card.thresholds},
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
    parser.add_argument("--leave-out", nargs="*", default=(), metavar="SOURCE", help="sources it was not trained on")
    given = parser.parse_args()
    checkpoint = given.checkpoint or Path("build/training") / f"{given.name}.pt"
    origin = Origin(given.data, given.models or default_folder(), tuple(given.leave_out))
    card = ship(given.name, checkpoint, origin)
    load(card, threads=1)


if __name__ == "__main__":
    main()
