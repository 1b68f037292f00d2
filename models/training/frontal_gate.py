"""Recipe: the gate that tells a frontal chest radiograph from anything else.

One EfficientNet-Lite0 with three answers: the view (frontal chest, lateral chest, not a
chest radiograph), how far the image is turned (0, 90, 180, 270 degrees counter-clockwise),
and whether its greys are inverted. The last two are trained on frontal images only.

    python -m models.training.frontal_gate --data ../shared/data
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.stages.radiograph.geometry import tile
from models.training import augment, data, outsiders
from models.training.augment import Image, Rng
from models.training.backbone import MEAN, STD, Classifier
from models.training.loop import Recipe, parse_arguments, train

VIEWS = ("frontal", "lateral", "other")
FRONTAL, LATERAL, OTHER = range(3)
OUTPUTS = (*VIEWS, "turned_0", "turned_90", "turned_180", "turned_270", "inverted")
_NO_TURN = -100  # what cross_entropy ignores


@dataclass(frozen=True, slots=True)
class Config(Recipe):
    """What the shipped model was trained with."""

    name: str = "frontal_gate"
    side: int = 160
    samples: int = 20_000
    batch: int = 32
    learning_rate: float = 1.5e-3
    frozen_blocks: int = 5


def network(config: Config) -> Classifier:
    """The network before training; logits in the order of ``OUTPUTS``."""
    return Classifier(len(OUTPUTS), config.frozen_blocks, dropout=0.2)


class Task:
    """Examples and loss for the training loop."""

    def __init__(self, config: Config, root: Path) -> None:
        self.side = config.side
        self.frontal = _frontals(root, config.side)
        self.lateral = [
            self._tiles(outsiders.gate_figures(root, "lateral", held_out=False)),
            self._tiles(outsiders.lateral_projections(root)),
        ]
        self.other = [
            self._tiles(outsiders.gate_figures(root, "ct_figure", held_out=False)),
            self._tiles(outsiders.ct_slices(root, "train", most=900)),
            self._tiles(outsiders.other_dicom()),
            self._tiles(outsiders.photographs(held_out=False)),
        ]

    def _tiles(self, images: list[data.Grey]) -> list[Image]:
        return [_tile(image, self.side) for image in images]

    def example(self, rng: Rng) -> tuple[Tensor, ...]:
        """Image (1, S, S), view, turn, inverted."""
        view = int(rng.choice(3, p=(0.5, 0.17, 0.33)))
        image = (self._frontal, self._lateral, self._outsider)[view](rng)
        if view != OTHER or rng.random() < 0.7:
            matrix = augment.random_affine(rng, self.side, turn_deg=15, zoom=0.25, shift=0.1)
            image = augment.warp(image, matrix)
        image = augment.appearance(rng, image)
        turn = int(rng.integers(4)) if rng.random() < 0.5 else 0
        inverted = rng.random() < 0.25
        image = np.rot90(1 - image if inverted else image, turn).copy()
        known = view == FRONTAL
        return (
            torch.from_numpy(image)[None],
            torch.tensor(view),
            torch.tensor(turn if known else _NO_TURN),
            torch.tensor(float(inverted) if known else -1.0),
        )

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """Sum of the three answers' cross-entropies."""
        image, view, turn, inverted = batch
        logits = model((image - MEAN) / STD).float()
        known = inverted >= 0
        grey = F.binary_cross_entropy_with_logits(logits[known, 7], inverted[known])
        turned = F.cross_entropy(logits[:, 3:7], turn, ignore_index=_NO_TURN)
        return F.cross_entropy(logits[:, :3], view, label_smoothing=0.02) + 0.5 * turned + 0.5 * grey

    def _frontal(self, rng: Rng) -> Image:
        source = self.frontal[rng.integers(len(self.frontal))]
        image = data.to_unit(source[rng.integers(len(source))])
        if rng.random() < 0.3:
            image = augment.opacities(rng, image, np.ones_like(image))
        return image

    def _lateral(self, rng: Rng) -> Image:
        return _any(rng, self.lateral[int(rng.random() < 0.25)])

    def _outsider(self, rng: Rng) -> Image:
        kind = int(rng.choice(9, p=(0.12, 0.16, 0.08, 0.16, 0.16, 0.04, 0.08, 0.14, 0.06)))
        if kind < len(self.other):
            return _any(rng, self.other[kind])
        makers = (
            lambda: outsiders.limb(rng, self.side),
            lambda: outsiders.noise(rng, self.side),
            lambda: outsiders.shuffled(rng, self._frontal(rng)),
            lambda: outsiders.cut_out(rng, self._frontal(rng)),
            lambda: outsiders.panels(rng, self._frontal(rng), self._frontal(rng)),
        )
        return makers[kind - len(self.other)]()


def _any(rng: Rng, images: list[Image]) -> Image:
    return images[rng.integers(len(images))]


def _tile(image: data.Grey, side: int) -> Image:
    return tile(data.to_unit(image), side)


def _frontals(root: Path, side: int) -> list[list[data.Grey]]:
    rows = [r for r in data.manifest(root) if r.split == "train" and not r.is_lateral]
    groups: dict[str, list[data.Grey]] = {}
    for row in rows:
        tiled = (_tile(data.pixels(root, row), side) * 255).astype(np.uint8)
        groups.setdefault(row.source, []).append(tiled)
    return list(groups.values())


def calibration_tiles(root: Path, count: int) -> list[Image]:
    """Augmented training images as the engine gets them."""
    task, rng = Task(Config(), root), np.random.default_rng(1)
    return [task.example(rng)[0][0].numpy() for _ in range(count)]


def main() -> None:
    """Train and write the checkpoint."""
    root, out, _ = parse_arguments(__doc__)
    config = Config()
    train(config, Task(config, root), network(config), out)


if __name__ == "__main__":
    main()
