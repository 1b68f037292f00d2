"""Recipe: U-Net with an EfficientNet-Lite0 encoder that segments lung fields and heart.

Two definitions of "lung" exist in the public masks. JSRT and Shenzhen leave out what
lies behind the heart (*field*); V7 (Kermany, Cohen) and lesion.zip include it (*full*). A network
trained on their mixture learns neither, so each definition has its own output, and a
pixel on which a source says nothing about a definition carries no weight.

Outputs, in order: right field, left field, heart, right full, left full; "right" is
the patient's right, on the left of the image. Logits at half the input resolution.

    python -m models.training.lung_field --data ../shared/data
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.stages.radiograph.geometry import tile
from models.training import augment, data
from models.training.backbone import MEAN, STD, UNet
from models.training.loop import Recipe, named, parse_arguments, train

RIGHT_FIELD, LEFT_FIELD, HEART, RIGHT_FULL, LEFT_FULL = range(5)
OUTPUTS = ("right_field", "left_field", "heart", "right_full", "left_full")
Planes = npt.NDArray[np.bool_]

_LUNG_CODES = (1, 2, 4)
_DRAWN = {"JSRT": 0.25, "Shenzhen": 0.2, "Kermany": 0.25, "lesion": 0.3}
_HEART_ROWS = (0.55, 0.85)
"""Part of the height of a cardiomediastinum, from its top, that is as wide as the heart."""


@dataclass(frozen=True, slots=True)
class Config(Recipe):
    """What the shipped model was trained with."""

    name: str = "lung_field"
    side: int = 224
    samples: int = 16_800
    batch: int = 12
    learning_rate: float = 1.5e-3
    frozen_blocks: int = 5
    widths: tuple[int, ...] = (96, 64, 32, 16)


def network(config: Config) -> UNet:
    """The network before training; maps in the order of ``OUTPUTS``."""
    return UNet(len(OUTPUTS), config.widths, config.frozen_blocks)


@dataclass(frozen=True, slots=True)
class Sample:
    """An image tile and, as one bit an output, its targets and where they are known."""

    image: augment.Image
    target: npt.NDArray[np.uint8]
    known: npt.NDArray[np.uint8]
    source: str


def load(root: Path, side: int, left_out: tuple[str, ...] = ()) -> list[Sample]:
    """Every training image that has a mask, squashed to (side, side).

    Of lesion.zip only images whose patient is known are used, so that these patients can be
    taken out of every external figure (``lesion_patients``).
    """
    rows = [r for r in data.manifest(root) if r.mask and r.split == "train" and not r.is_lateral]
    made = [_from_manifest(root, row, side) for row in rows]
    made += [_from_lesion(root, row, side) for row in data.lesion_rows(root, of_known_patients=True)]
    return [sample for sample in made if sample is not None and sample.source not in left_out]


def _from_manifest(root: Path, row: data.Row, side: int) -> Sample | None:
    labels = _nearest(data.mask(root, row), side)
    lungs = split_lungs(np.isin(labels, _LUNG_CODES))
    if lungs is None:
        return None
    make = _full_targets if row.source == "Kermany" else _field_targets
    return _sample(data.pixels(root, row), make(*lungs, labels == 3), row.source, side)


def _from_lesion(root: Path, row: dict[str, str], side: int) -> Sample:
    labels = _nearest(data.image(root, "cxr/lesion.zip", row["mask"]), side)
    right, left = (labels & data.LESION_RIGHT) > 0, (labels & data.LESION_LEFT) > 0
    target, known = _full_targets(right, left & ~right, np.zeros_like(right))
    target[HEART], known[HEART] = _heart_of_mediastinum((labels & data.LESION_MEDIASTINUM) > 0)
    targets = target, known
    return _sample(data.image(root, "cxr/lesion.zip", row["file"]), targets, "lesion", side)


def _sample(grey: data.Grey, targets: tuple[Planes, Planes], source: str, side: int) -> Sample:
    image = tile(data.to_unit(grey), side)
    return Sample(image, _pack(targets[0]), _pack(targets[1]), source)


def _nearest(labels: data.Grey, side: int) -> data.Grey:
    return np.asarray(cv2.resize(labels, (side, side), interpolation=cv2.INTER_NEAREST), np.uint8)


def split_lungs(lungs: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]] | None:
    """The patient's right and left lung out of one mask, or None where they cannot be told apart."""
    count, parts, stats, centres = cv2.connectedComponentsWithStats(lungs.astype(np.uint8))
    order = 1 + np.argsort(stats[1:, cv2.CC_STAT_AREA])[::-1]
    if count < 3 or stats[order[1], cv2.CC_STAT_AREA] < 0.2 * stats[order[0], cv2.CC_STAT_AREA]:
        return None
    first, second = sorted(order[:2], key=lambda part: float(centres[part][0]))
    return parts == first, parts == second


def _field_targets(right: Planes, left: Planes, heart: Planes) -> tuple[Planes, Planes]:
    """JSRT and Shenzhen: field known everywhere, full known outside the mediastinum."""
    both = np.stack([right, left])
    hull = _hull(right | left | heart)
    target = np.stack([right, left, heart, right, left])
    full_known = np.stack([right | left | ~hull] * 2)
    heart_known = np.ones_like(right) if heart.any() else right | left
    known = np.concatenate([np.ones_like(both), heart_known[None], full_known])
    return target, known


def _full_targets(right: Planes, left: Planes, _heart: Planes) -> tuple[Planes, Planes]:
    """V7: full known everywhere, field known outside and in the lateral half of each lung."""
    both = np.stack([right, left])
    columns = np.arange(right.shape[1])
    lateral = np.stack([columns < _mean_column(right), columns > _mean_column(left)])[:, None, :]
    no_heart = (both & lateral).any(0) | ~_hull(right | left)
    target = np.concatenate([both, np.zeros_like(right)[None], both])
    known = np.concatenate([~both | lateral, no_heart[None], np.ones_like(both)])
    return target, known


def _heart_of_mediastinum(mediastinum: Planes) -> tuple[Planes, Planes]:
    """A heart, and where it is known, from a mask that holds the great vessels as well.

    Nothing outside of the mask is heart. Inside, only the rows at half height and below are
    known: there the mask is as wide as the heart.
    """
    rows = np.flatnonzero(mediastinum.any(1))
    if rows.size == 0:
        return mediastinum, mediastinum
    first, last = (rows[0] + share * rows.size for share in _HEART_ROWS)
    height = np.arange(len(mediastinum))[:, None]
    return mediastinum, ~mediastinum | ((height >= first) & (height < last))


def _mean_column(mask: Planes) -> float:
    return float(np.flatnonzero(mask.any(0)).mean())


def _hull(mask: Planes) -> Planes:
    points = cv2.findNonZero(mask.astype(np.uint8))
    filled = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(filled, cv2.convexHull(points), 1)
    return filled.astype(bool)


def _pack(planes: Planes) -> npt.NDArray[np.uint8]:
    return np.packbits(planes, axis=0, bitorder="little")[0]


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(H, W) bits -> (5, H, W) zeros and ones."""
    return np.unpackbits(packed[None], axis=0, count=len(OUTPUTS), bitorder="little")


def augmented(rng: augment.Rng, sample: Sample) -> tuple[Tensor, Tensor, Tensor]:
    """One training example: image (1, S, S), target and weight (5, S / 2, S / 2)."""
    side = sample.image.shape[0]
    matrix = augment.random_affine(rng, side, turn_deg=15, zoom=0.25, shift=0.1)
    image = augment.warp(sample.image, matrix, border=float(rng.choice([0.0, 0.0, 1.0])))
    target = unpack(augment.warp_labels(sample.target, matrix))
    known = unpack(augment.warp_labels(sample.known, matrix, border=255))
    if matrix[0, 0] < 0:
        swap = [LEFT_FIELD, RIGHT_FIELD, HEART, LEFT_FULL, RIGHT_FULL]
        target, known = target[swap], known[swap]
    if rng.random() < 0.35:
        image = augment.opacities(rng, image, target.max(0).astype(np.float32))
    image = augment.appearance(rng, image)
    pooled = F.avg_pool2d(torch.from_numpy(np.stack([target, known])).float(), 2)
    return torch.from_numpy(image)[None], pooled[0], pooled[1]


def loss(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy plus soft Dice, over the pixels that are known."""
    pixel = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    entropy = (pixel * weight).sum() / weight.sum()
    p, t = logits.sigmoid() * weight, target * weight
    dims = (2, 3)
    dice = 1 - (2 * (p * t).sum(dims) + 1) / ((p + t).sum(dims) + 1)
    judged = (weight.mean(dims) > 0.5).float()
    return entropy + (dice * judged).sum() / judged.sum().clamp(min=1)


class Task:
    """Examples and loss for the training loop."""

    def __init__(self, config: Config, root: Path, left_out: tuple[str, ...] = ()) -> None:
        self.samples = load(root, config.side, left_out)
        self.by_source = _indices([s.source for s in self.samples])
        shares = np.array([_DRAWN[source] for source in self.by_source])
        self.shares = shares / shares.sum()

    def example(self, rng: augment.Rng) -> tuple[Tensor, ...]:
        """A random augmented example, its source drawn as ``_DRAWN`` says."""
        source = str(rng.choice(list(self.by_source), p=self.shares))
        return augmented(rng, self.samples[rng.choice(self.by_source[source])])

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """Loss of a batch of examples."""
        image, target, weight = batch
        return loss(model((image - MEAN) / STD).float(), target, weight)


def _indices(names: list[str]) -> dict[str, npt.NDArray[np.int64]]:
    return {name: np.flatnonzero(np.array(names) == name) for name in sorted(set(names))}


def calibration_tiles(root: Path, count: int, left_out: tuple[str, ...] = ()) -> list[augment.Image]:
    """Training images as the engine gets them, an equal share from each source."""
    samples = load(root, Config().side, left_out)
    by_source = _indices([s.source for s in samples])
    share = count // len(by_source)
    return [samples[i].image for where in by_source.values() for i in where[:: max(1, len(where) // share)][:share]]


def main() -> None:
    """Train and write the checkpoint; ``--leave-out`` makes a model to measure on a source that it has not seen."""
    root, out, left_out = parse_arguments(__doc__)
    config = Config(name=named("lung_field", left_out))
    train(config, Task(config, root, left_out), network(config), out)


if __name__ == "__main__":
    main()
