"""Recipe: U-Net with an EfficientNet-Lite0 encoder that segments right and left lung on axial CT slices.

Reference masks of three series (``lung_references``) teach where a lung ends, also behind dense
consolidation. Three patients are few, so dense and hazy opacities are painted into their lungs, at the
wall above all, and thousands of pictures of slices of other hospitals (``slice_masks``) join with
masks of a classical method in two dimensions, where these are plausible.

Outputs: right lung, left lung; "right" is the patient's right, on the left of the image. Logits at
half the input resolution. A mirrored slice swaps the two.

    python -m models.training.ct_lung --data ../shared/data
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

from edge.stages.tomography.slices import tile_of_slice
from models.training import augment, slice_masks, tomography
from models.training.augment import Image, Rng
from models.training.backbone import MEAN, STD, UNet
from models.training.loop import Recipe, named, parse_arguments, train
from models.training.lung_field import loss
from models.training.lung_references import reference

OUTPUTS = ("right_lung", "left_lung")
Labels = npt.NDArray[np.uint8]
_PICTURES = "pictures"
_PICTURES_DRAWN = 0.35
"""Share of examples that are pictures; the others are slices of the series, in equal parts."""
_DENSE, _HAZY, _THICK, _FIELD_CUT = 0.4, 0.3, 0.3, 0.25


@dataclass(frozen=True, slots=True)
class Config(Recipe):
    """What the shipped model was trained with."""

    name: str = "ct_lung"
    side: int = 224
    samples: int = 3_200
    batch: int = 8
    learning_rate: float = 1.5e-3
    frozen_blocks: int = 3
    widths: tuple[int, ...] = (64, 32, 24, 16)


def network(config: Config) -> UNet:
    """The network before training; maps in the order of ``OUTPUTS``."""
    return UNet(len(OUTPUTS), config.widths, config.frozen_blocks)


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices of one origin.

    Attributes
    ----------
    images : float16, shape (N, S, S), in [0, 1], as the engine gets them.
    labels : uint8, shape (N, S, S): 1 the right lung, 2 the left one.
    blurs : how many neighbouring slices may be averaged to one of 6 mm.
    """

    images: npt.NDArray[np.float16]
    labels: Labels
    blurs: int = 1

    def thinned(self, every: int) -> Stack:
        """One slice of so many."""
        return Stack(self.images[::every], self.labels[::every])


def load(root: Path, side: int, left_out: tuple[str, ...] = ()) -> dict[str, Stack]:
    """The series that are not left out, by name, and the pictures."""
    images, labels = slice_masks.load(root, side, ("train",))
    return {**series_stacks(root, side, left_out), _PICTURES: Stack(images, labels)}


def series_stacks(root: Path, side: int, left_out: tuple[str, ...] = ()) -> dict[str, Stack]:
    """The series that are not left out, by name."""
    return {name: _stack_of_series(root, name, side) for name in tomography.SERIES if name not in left_out}


def _stack_of_series(root: Path, name: str, side: int) -> Stack:
    volume, labels = reference(root, name)
    images = np.stack([tile_of_slice(plane, side) for plane in volume.hu]).astype(np.float16)
    small = np.stack([cv2.resize(plane, (side, side), interpolation=cv2.INTER_NEAREST) for plane in labels])
    return Stack(images, small, max(1, round(6 / volume.spacing_mm[0])))


def augmented(rng: Rng, stack: Stack) -> tuple[Tensor, Tensor, Tensor]:
    """One training example: image (1, S, S), target and weight (2, S / 2, S / 2)."""
    image, labels = _drawn(rng, stack)
    if rng.random() < _HAZY:
        image = augment.opacities(rng, image, augment.somewhere(rng, labels)) if labels.any() else image
    if rng.random() < _DENSE:
        image = consolidated(rng, image, labels)
    side = image.shape[0]
    matrix = augment.random_affine(rng, side, turn_deg=12, zoom=0.25, shift=0.1)
    image, labels = augment.warp(image, matrix), augment.warp_labels(labels, matrix)
    if matrix[0, 0] < 0:
        labels = np.array([0, 2, 1], np.uint8)[labels]
    if rng.random() < _FIELD_CUT:
        image, labels = field_cut(rng, image, labels)
    image = _scanned(rng, image)
    target = np.stack([labels == 1, labels == 2]).astype(np.float32)
    pooled = F.avg_pool2d(torch.from_numpy(target)[None], 2)[0]
    return torch.from_numpy(image)[None], pooled, torch.ones_like(pooled)


def _drawn(rng: Rng, stack: Stack) -> tuple[Image, Labels]:
    """A slice, or the mean of neighbouring thin ones with the label that most of them have."""
    i = int(rng.integers(len(stack.images)))
    if stack.blurs > 1 and rng.random() < _THICK:
        i = int(np.clip(i, 0, len(stack.images) - stack.blurs))
        part = slice(i, i + stack.blurs)
        return stack.images[part].astype(np.float32).mean(0), np.median(stack.labels[part], axis=0).astype(np.uint8)
    return stack.images[i].astype(np.float32), stack.labels[i]


def consolidated(rng: Rng, image: Image, labels: Labels) -> Image:
    """Lung as dense as soft tissue, in up to three ragged pieces; most of them lie at the border of the lung."""
    border = (labels > 0) & (cv2.erode((labels > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) == 0)
    where = border if rng.random() < 0.8 else labels > 0
    rows, columns = np.nonzero(where)
    if not rows.size:
        return image
    side = image.shape[0]
    drawn = np.zeros(image.shape, np.float32)
    for _ in range(rng.integers(1, 4)):
        i = rng.integers(rows.size)
        axes = tuple(int(v) for v in rng.uniform(0.02, 0.14, 2) * side)
        centre = (int(columns[i]), int(rows[i]))
        cv2.ellipse(drawn, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, cv2.FILLED)
    coarse = rng.standard_normal((side // 8, side // 8)).astype(np.float32)
    ragged = drawn + 0.35 * cv2.resize(coarse, image.shape[::-1], interpolation=cv2.INTER_CUBIC)
    shape = ((ragged > 0.5) & (drawn > 0) & (labels > 0)).astype(np.float32)
    soft = cv2.GaussianBlur(shape, (0, 0), rng.uniform(0.5, 1.5)) * (labels > 0)
    tissue = float(np.median(image[(labels == 0) & (image > 0.4)])) if ((labels == 0) & (image > 0.4)).any() else 0.75
    grain = cv2.GaussianBlur(rng.normal(0, 0.05, image.shape).astype(np.float32), (0, 0), 0.8)
    dense = tissue + rng.uniform(-0.08, 0.03) + grain
    return np.asarray(image * (1 - soft) + dense * soft, np.float32)


def field_cut(rng: Rng, image: Image, labels: Labels) -> tuple[Image, Labels]:
    """Nothing outside of a circle, as where the field of view is smaller than the body."""
    side = image.shape[0]
    inside = np.zeros(image.shape, np.uint8)
    centre = tuple(int(v) for v in side / 2 + rng.uniform(-0.08, 0.08, 2) * side)
    cv2.circle(inside, centre, int(rng.uniform(0.36, 0.55) * side), 1, cv2.FILLED)
    return np.where(inside > 0, image, np.float32(0)), labels * inside


def _scanned(rng: Rng, image: Image) -> Image:
    """Noise, sharpness and window of another scanner."""
    if rng.random() < 0.5:
        sigma = rng.uniform(0.4, 1.2)
        soft = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
        image = soft if rng.random() < 0.5 else image + np.float32(rng.uniform(0.3, 1.5)) * (image - soft)
    if rng.random() < 0.6:
        noise = rng.normal(0, rng.uniform(0.005, 0.07), image.shape).astype(np.float32)
        image = image + (noise if rng.random() < 0.5 else cv2.GaussianBlur(noise, (0, 0), 0.8) * 2)
    if rng.random() < 0.5:
        low, high = rng.uniform(-0.06, 0.06), rng.uniform(0.85, 1.15)
        image = (image - low) / (high - low)
    return np.clip(image, 0, 1).astype(np.float32)


class Task:
    """Examples and loss for the training loop."""

    def __init__(self, config: Config, root: Path, left_out: tuple[str, ...] = ()) -> None:
        self.stacks = load(root, config.side, left_out)
        self.series = [name for name in self.stacks if name != _PICTURES]

    def example(self, rng: Rng) -> tuple[Tensor, ...]:
        """A random augmented example."""
        name = _PICTURES if rng.random() < _PICTURES_DRAWN else self.series[rng.integers(len(self.series))]
        return augmented(rng, self.stacks[name])

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """Loss of a batch of examples."""
        image, target, weight = batch
        return loss(model((image - MEAN) / STD).float(), target, weight)


def calibration_tiles(root: Path, count: int, left_out: tuple[str, ...] = ()) -> list[Image]:
    """Training slices as the engine gets them, an equal share from each origin."""
    stacks = load(root, Config().side, left_out)
    share = count // len(stacks)
    return [
        image.astype(np.float32)
        for stack in stacks.values()
        for image in stack.images[:: max(1, len(stack.images) // share)][:share]
    ]


def main() -> None:
    """Train and write the checkpoint; ``--leave-out`` makes a model to measure on a series that it has not seen."""
    root, out, left_out = parse_arguments(__doc__)
    config = Config(name=named("ct_lung", left_out))
    train(config, Task(config, root, left_out), network(config), out)


if __name__ == "__main__":
    main()
