"""What the five models of the opacity recipe say of the patients that each of them never saw.

Severity and lesion masks exist for patients of one collection only, so both the figures
and the weights that turn maps into scores come from here. A score's figure is made with
weights fitted on the other four folds. Both are written to ``models/opacity/folds.json``,
where ``calibration.ship`` and ``models.evaluation`` find them:

    python -m calibration.folds --data ../shared/data
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.engines.registry import default_folder
from edge.stages.radiograph.detection import CONSOLIDATION, OPACITY, Maps
from edge.stages.radiograph.geometry import Labels, squash_labels, with_mirror
from edge.stages.radiograph.severity import MOST_BY_ZONE, MOST_EXTENT, MOST_OPACITY, features
from edge.types import Zone
from models.evaluation.opacity import FOLDS_FILE
from models.training import data, lungs, opacity
from models.training.backbone import MEAN, STD

Numbers = npt.NDArray[np.float64]
_OPAQUE_FROM = 0.5


@dataclass(frozen=True, slots=True)
class _Judged:
    """An image that its model never saw: ``found`` of ``severity.features``, and the true scores."""

    fold: int
    found: Numbers
    true: Numbers


def measured(root: Path, checkpoints: Path) -> dict[str, Any]:
    """``figures`` out of fold, and the ``weights`` of the scores, fitted on all folds.

    Raises
    ------
    OSError
        Where a fold has no checkpoint.
    """
    networks = [_network(checkpoints / f"opacity_fold_{fold}.pt") for fold in range(opacity.FOLDS)]
    brixia = _judged(networks, root, data.brixia_scores(root))
    cohen = _judged(networks, root, data.cohen_scores(root))
    by_zone, extent, degree = _zone_rows(brixia), _sum_rows(cohen, 0), _sum_rows(cohen, 1)
    predicted = _fitted_elsewhere(*by_zone, MOST_BY_ZONE)
    figures = {
        "lesion Dice, five-fold": _lesions(networks, root),
        "Brixia, five-fold": _brixia(by_zone[1].reshape(-1, len(Zone)), predicted.reshape(-1, len(Zone))),
        "extent 0 to 8, five-fold": _error(extent[1], _fitted_elsewhere(*extent, MOST_EXTENT)),
        "opacity 0 to 6, five-fold": _error(degree[1], _fitted_elsewhere(*degree, MOST_OPACITY)),
    }
    fitted = {"zone_weights": by_zone, "extent_weights": extent, "opacity_weights": degree}
    found = {name: np.round(_least_squares(rows, true), 4).tolist() for name, (rows, true, _) in fitted.items()}
    spread = float(np.sqrt(np.mean(np.square((predicted - by_zone[1]).reshape(-1, len(Zone)).sum(1)))))
    return {"figures": figures, "weights": found | {"least_change": round(2**0.5 * spread, 1)}}


def _network(path: Path) -> Any:
    import torch

    network = opacity.network(opacity.Config())
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


def _maps(network: Any, picture: lungs.Picture) -> tuple[Maps, Labels]:
    import torch

    shown = picture.tile(opacity.Config().side)
    with torch.no_grad():
        maps, mirrored = network(torch.from_numpy((with_mirror(shown) - MEAN) / STD)[:, None].float()).sigmoid().numpy()
    both = (maps + mirrored[..., ::-1]) / 2
    return both, squash_labels(picture.alignment.zones, both.shape[-1])


def _judged(networks: list[Any], root: Path, scores: dict[str, npt.NDArray[np.float32]]) -> list[_Judged]:
    found = []
    for stem, picture in opacity.collection(root, set(scores)):
        fold = opacity.fold_of(data.collection_patient(root, stem))
        found.append(_Judged(fold, features(*_maps(networks[fold], picture)), scores[stem].astype(np.float64)))
    return found


def _zone_rows(judged: list[_Judged]) -> tuple[Numbers, Numbers, Numbers]:
    """(severity, opacity, 1) of each zone, shape (6 N, 3), its score, and its fold."""
    rows = np.concatenate([np.column_stack([j.found[:6], j.found[6:], np.ones(6)]) for j in judged])
    return rows, np.concatenate([j.true for j in judged]), np.repeat([j.fold for j in judged], len(Zone))


def _sum_rows(judged: list[_Judged], score: int) -> tuple[Numbers, Numbers, Numbers]:
    """(sum of severities, sum of opacities, 1) of each image, shape (N, 3), its score, and its fold."""
    rows = np.array([[j.found[:6].sum(), j.found[6:].sum(), 1.0] for j in judged])
    return rows, np.array([j.true[score] for j in judged]), np.array([j.fold for j in judged])


def _least_squares(rows: Numbers, true: Numbers) -> Numbers:
    return np.asarray(np.linalg.lstsq(rows, true, rcond=None)[0], np.float64)


def _fitted_elsewhere(rows: Numbers, true: Numbers, folds: Numbers, most: float) -> Numbers:
    """Each score by weights of the other folds."""
    found = np.empty_like(true)
    for fold in np.unique(folds):
        here = folds == fold
        found[here] = np.clip(rows[here] @ _least_squares(rows[~here], true[~here]), 0, most)
    return found


def _error(true: Numbers, found: Numbers) -> dict[str, Any]:
    return {
        "n": len(true),
        "mean_absolute_error": round(float(np.abs(found - true).mean()), 3),
        "error_of_the_mean_score": round(float(np.abs(true - true.mean()).mean()), 3),
        "correlation": round(float(np.corrcoef(found, true)[0, 1]), 3),
    }


def _brixia(true: Numbers, found: Numbers) -> dict[str, Any]:
    by_zone = round(float(np.abs(found - true).mean()), 3)
    return _error(true.sum(1), found.sum(1)) | {"mean_absolute_error_by_zone": by_zone}


def _lesions(networks: list[Any], root: Path) -> dict[str, Any]:
    dice: dict[str, list[float]] = {"opacity": [], "consolidation": []}
    for sample in opacity.lesion_samples(root):
        maps, zones = _maps(networks[opacity.fold_of(sample.patient)], sample.picture)
        target = squash_labels(sample.target, maps.shape[-1])
        for name, plane, bit in _planes():
            true, found = ((target & bit) > 0) & (zones > 0), (maps[plane] >= _OPAQUE_FROM) & (zones > 0)
            if true.any():
                dice[name].append(2 * float((true & found).sum()) / float(true.sum() + found.sum()))
    means = {f"{name}_mean": round(float(np.mean(values)), 3) for name, values in dice.items()}
    return {"n": len(dice["opacity"]), **means, "consolidation_n": len(dice["consolidation"])}


def _planes() -> Iterator[tuple[str, int, int]]:
    yield "opacity", OPACITY, opacity.OPAQUE
    yield "consolidation", CONSOLIDATION, opacity.CONSOLIDATED


def main() -> None:
    """Measure the folds and write what comes of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoints", type=Path, default=Path("build/training"))
    given = parser.parse_args()
    text = json.dumps(measured(given.data, given.checkpoints), indent=1)
    (default_folder() / "opacity" / FOLDS_FILE).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
