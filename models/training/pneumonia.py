"""Recipe: pneumonia classification on the lungs alone, with a head for each age group.

Class, hospital and age are confounded in the public data: bacterial and viral pneumonia
are all children of one hospital, COVID-19 is adult and from another country. Against
learning the hospital instead of the disease:

- the network sees only the inside of the lungs, scaled and stretched (``lung_tile``);
- traits of the source are varied, and borrowed between sources (radial spectrum, grey values);
- sources and classes are drawn with equal chance;
- each head also learns from the other age group, but only what the label says there: a
  child's viral pneumonia tells the adult head "pneumonia or COVID-19", no more.

Outputs: child head (normal, bacterial, viral, covid19), adult head (normal,
other_pneumonia, covid19, tuberculosis, other), and one logit for "a child".

    python -m models.training.pneumonia --data ../shared/data
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.stages.radiograph.geometry import WORKING_SIDE, Labels, lung_tile
from models.training import augment, data, lungs
from models.training.augment import Image, Rng
from models.training.backbone import MEAN, STD, Classifier
from models.training.loop import Recipe, parse_arguments, train

CHILD = ("normal", "bacterial", "viral", "covid19")
ADULT = ("normal", "other_pneumonia", "covid19", "tuberculosis", "other")
OUTPUTS = (*(f"child_{c}" for c in CHILD), *(f"adult_{c}" for c in ADULT), "is_child")

# What a label allows in the child head and in the adult head; nothing: the head does not learn from it.
_ALLOWED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "child normal": (("normal",), ("normal",)),
    "child bacterial": (("bacterial",), ("other_pneumonia",)),
    "child viral": (("viral",), ("other_pneumonia", "covid19")),
    "child pneumonia_unspecified": (("bacterial", "viral"), ("other_pneumonia",)),
    "adult normal": (("normal",), ("normal",)),
    "adult covid": (("covid19",), ("covid19",)),
    "adult pneumonia_unspecified": (("bacterial", "viral"), ("other_pneumonia",)),
    "adult tuberculosis": ((), ("tuberculosis",)),
    "adult nodule": ((), ("other",)),
}
# How often each source and label is drawn, relative to the others.
_DRAWN = {
    "Kermany normal": 1.0,
    "Kermany bacterial": 1.0,
    "Kermany viral": 1.0,
    "CRD-COVID covid": 1.6,
    "CRD-RSNA normal": 1.3,
    "NIH normal": 0.7,
    "NIH pneumonia_unspecified": 1.0,
    "Shenzhen normal": 0.6,
    "Shenzhen tuberculosis": 0.9,
    "JSRT normal": 0.25,
    "JSRT nodule": 0.25,
}
_OTHER_GROUP_WEIGHT = 0.4
_SAMPLES_WITHOUT = 20_000
"""Fewer sources hold fewer images: a model without some of them is trained for less long."""
_SECOND_SAMPLES = 20_000
"""The second phase goes on from the first at half its rate, on images less disguised."""


@dataclass(frozen=True, slots=True)
class Config(Recipe):
    """What the shipped model was trained with."""

    name: str = "pneumonia"
    side: int = 192
    samples: int = 34_000
    batch: int = 24
    learning_rate: float = 8e-4
    encoder_rate: float = 0.35
    frozen_blocks: int = 5
    sources_left_out: tuple[str, ...] = ()
    strength: float = 1.0
    """How often the traits of a source are varied: 1 in the first phase, less in the second."""


def network(config: Config) -> Classifier:
    """The network before training; logits in the order of ``OUTPUTS``."""
    return Classifier(len(OUTPUTS), config.frozen_blocks, dropout=0.3)


@dataclass(frozen=True, slots=True)
class Sample:
    """A squashed radiograph, its lungs, and what is known of it."""

    pixels: data.Grey
    lungs: Labels
    row: data.Row

    @property
    def drawn_as(self) -> str:
        """Key of ``_DRAWN``."""
        return f"{self.row.source} {self.row.label}"

    @property
    def group(self) -> str:
        """``child`` or ``adult``."""
        return "child" if self.row.is_child else "adult"


def load(root: Path, splits: tuple[str, ...], left_out: tuple[str, ...] = (), every: int = 1) -> list[Sample]:
    """Every image of these splits whose lungs were found, or only every so many-th."""
    rows = [r for r in data.manifest(root) if r.split in splits and r.source not in left_out and not r.is_lateral]
    rows = [r for r in rows if not _contradicted(r)]
    found = lungs.outlined(root, rows[::every])
    return [Sample(pixels, labels, row) for row, pixels, labels in found if labels.any()]


def allowed_classes(sample: Sample, group: str) -> tuple[str, ...]:
    """The classes of a group's head that the label of a sample allows."""
    return _ALLOWED[f"{sample.group} {sample.row.label}"][("child", "adult").index(group)]


def _contradicted(row: data.Row) -> bool:
    """A text-mined "pneumonia" that radiologists of RSNA read as normal."""
    return row.label == "pneumonia_unspecified" and row.note.endswith(":Normal")


def augmented(rng: Rng, sample: Sample, style: Sample, config: Config) -> Image:
    """A lung tile with the traits of its source varied, some borrowed from another source."""
    pixels = data.to_unit(sample.pixels)
    if rng.random() < 0.5 * config.strength:
        pixels = augment.borrow_spectrum(rng, pixels, data.to_unit(style.pixels))
    if rng.random() < config.strength:
        pixels = augment.appearance(rng, pixels)
    matrix = augment.random_affine(rng, WORKING_SIDE, turn_deg=10, zoom=0.12, shift=0.04)
    turned = augment.warp_labels(_reshaped(rng, sample.lungs), matrix)
    if not turned.any():
        turned = sample.lungs
    tiled = lung_tile(augment.warp(pixels, matrix), turned, config.side)
    return augment.cut_patches(rng, tiled)


def _reshaped(rng: Rng, labels: Labels) -> Labels:
    """Lungs a little larger or smaller, as another segmentation would have them."""
    return augment.grown(labels, int(rng.integers(-5, 6)))


class Task:
    """Examples and loss for the training loop."""

    def __init__(self, config: Config, root: Path, every: int = 1) -> None:
        self.config = config
        groups: dict[str, list[Sample]] = {}
        for sample in load(root, ("train",), config.sources_left_out, every):
            groups.setdefault(sample.drawn_as, []).append(sample)
        self.groups = groups
        shares = np.array([_DRAWN[name] for name in groups])
        self.shares = shares / shares.sum()

    def example(self, rng: Rng) -> tuple[Tensor, ...]:
        """Image (1, S, S), allowed classes of both heads (9,), weights of both heads (2,), is child."""
        sample, style = self._drawn(rng), self._drawn(rng)
        image = augmented(rng, sample, style, self.config)
        child, adult = allowed_classes(sample, "child"), allowed_classes(sample, "adult")
        allowed = [name in child for name in CHILD] + [name in adult for name in ADULT]
        own = np.array([sample.row.is_child, not sample.row.is_child])
        taught = np.array([bool(child), bool(adult)])
        weights = np.where(own, 1.0, _OTHER_GROUP_WEIGHT) * taught
        return (
            torch.from_numpy(image)[None],
            torch.tensor(allowed),
            torch.tensor(weights, dtype=torch.float32),
            torch.tensor(float(sample.row.is_child)),
        )

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """Cross-entropy of what the labels allow, in both heads, and of the age group."""
        image, allowed, weights, is_child = batch
        logits = model((image - MEAN) / STD).float()
        split = len(CHILD)
        heads = (
            allowed_entropy(logits[:, :split], allowed[:, :split]),
            allowed_entropy(logits[:, split:-1], allowed[:, split:]),
        )
        entropy = (torch.stack(heads, 1) * weights).sum() / weights.sum()
        age = F.binary_cross_entropy_with_logits(logits[:, -1], is_child)
        return entropy + 0.2 * age

    def _drawn(self, rng: Rng) -> Sample:
        group = self.groups[list(self.groups)[rng.choice(len(self.shares), p=self.shares)]]
        return group[rng.integers(len(group))]


def allowed_entropy(logits: Tensor, allowed: Tensor, smoothing: float = 0.03) -> Tensor:
    """Minus log of the probability of all allowed classes together, (N, C) -> (N,)."""
    log_p = logits.log_softmax(1)
    taught = torch.where(allowed.any(1, keepdim=True), allowed, torch.ones_like(allowed))
    entropy = -torch.where(taught, log_p, -torch.inf).logsumexp(1)
    return (1 - smoothing) * entropy - smoothing * log_p.mean(1)


def calibration_tiles(root: Path, count: int) -> list[Image]:
    """Augmented training images as the engine gets them."""
    task, rng = Task(Config(), root, every=30), np.random.default_rng(1)
    return [task.example(rng)[0][0].numpy() for _ in range(count)]


def main() -> None:
    """Train and write the checkpoint; ``--leave-out`` makes the model that external figures need."""
    root, out, left_out = parse_arguments(__doc__)
    config = Config()
    if left_out:
        name = "_".join(["pneumonia_without", *left_out])
        config = Config(name=name, samples=_SAMPLES_WITHOUT, sources_left_out=left_out)
    classifier = network(config)
    first = out / f"{config.name}.pt"
    if not first.exists():
        train(config, Task(config, root), classifier, out)
    second = replace(config, name=f"{config.name}_second", samples=_SECOND_SAMPLES, learning_rate=4e-4, strength=0.4)
    classifier.load_state_dict(torch.load(first, weights_only=True))
    train(replace(second, seed=1), Task(second, root), classifier, out)


if __name__ == "__main__":
    main()
