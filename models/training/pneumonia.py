"""Recipe: pneumonia classification on the lungs alone, with a head for each age group.

Class, hospital and age are confounded in the public data: bacterial and viral pneumonia
are all children of one hospital, COVID-19 is adult and from another country. Against
learning the hospital instead of the disease:

- the network sees only the lungs, laid on the atlas (``lung_tile``);
- traits of the source are varied, and borrowed between sources (radial spectrum, grey values);
- opacities are painted into some normal lungs: one source then holds both sides of the question;
- the lungs of some images are filled in, and nothing may be claimed of what is left;
- sources and classes are drawn with equal chance;
- each head also learns from the other age group, but only what the label says there: a
  child's viral pneumonia tells the adult head "pneumonia or COVID-19", no more.

Outputs: child head (normal, bacterial, viral, covid19), adult head (normal,
other_pneumonia, covid19, tuberculosis, other), one logit for "a child", and, in the
shipped network, whitened features by which it knows images unlike its training images.

    python -m models.training.pneumonia --data ../shared/data
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.stages.radiograph.geometry import lung_tile
from models.training import augment, data, lungs
from models.training.augment import Image, Rng
from models.training.backbone import MEAN, STD, Classifier
from models.training.loop import Recipe, named, parse_arguments, train

CHILD = ("normal", "bacterial", "viral", "covid19")
ADULT = ("normal", "other_pneumonia", "covid19", "tuberculosis", "other")
_FEATURES = 32
LOGITS = (*(f"child_{c}" for c in CHILD), *(f"adult_{c}" for c in ADULT), "is_child")
OUTPUTS = (*LOGITS, *(f"embedding_{i:02}" for i in range(_FEATURES)))

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
    "Shenzhen normal": 0.7,
    "Shenzhen tuberculosis": 1.0,
    "JSRT normal": 0.25,
    "JSRT nodule": 0.25,
}
_OTHER_GROUP_WEIGHT = 0.6
_EMPTIED, _PAINTED = 0.08, 0.25
"""Share of all images whose lungs are filled in, and of normal ones into which opacities are painted."""
_SETTLING_SAMPLES = 14_000
"""The second phase goes on from the first at a quarter of its rate, on images less disguised."""


@dataclass(frozen=True, slots=True)
class Config(Recipe):
    """What the shipped model was trained with."""

    name: str = "pneumonia"
    side: int = 192
    samples: int = 45_000
    batch: int = 24
    learning_rate: float = 8e-4
    encoder_rate: float = 0.35
    frozen_blocks: int = 5
    sources_left_out: tuple[str, ...] = ()
    strengths: tuple[float, float] = (0.3, 1.0)
    """How often the traits of a source are varied, drawn anew for each image from this range."""


def network(config: Config) -> Classifier:
    """The network before training; logits in the order of ``LOGITS``."""
    return Classifier(len(LOGITS), config.frozen_blocks, dropout=0.3)


class Shipped(nn.Module):
    """(N, 1, S, S) normalised image -> (N, len(OUTPUTS)): logits, then whitened features."""

    def __init__(self, classifier: Classifier, mean: Tensor, whitening: Tensor) -> None:
        super().__init__()
        self.encoder, self.out = classifier.encoder, classifier.out
        self.white = nn.Linear(*whitening.shape)
        self.white.weight.data, self.white.bias.data = whitening.T.contiguous(), -mean @ whitening

    def forward(self, x: Tensor) -> Tensor:
        features = self.encoder(x)  # (N, 1280)
        return torch.cat([self.out(features), self.white(features)], 1)


def finish(classifier: Classifier, root: Path, left_out: tuple[str, ...] = ()) -> Shipped:
    """Add the whitening of the features of training images: their ``_FEATURES`` first principal components."""
    side = Config().side
    tiles = [s.picture.tile(side) for s in load(root, ("train",), left_out, every=6)]
    with torch.no_grad():
        images = torch.from_numpy((np.stack(tiles)[:, None] - MEAN) / STD).float()
        features = torch.cat([classifier.eval().encoder(part) for part in images.split(64)])
    mean = features.mean(0)
    _, deviations, directions = torch.linalg.svd(features - mean, full_matrices=False)
    scale = len(features) ** 0.5 / deviations[:_FEATURES]
    return Shipped(classifier, mean, directions[:_FEATURES].T * scale)


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture and what is known of it."""

    picture: lungs.Picture
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
    return [Sample(picture, row) for row, picture in lungs.of_rows(root, rows[::every])]


def allowed_classes(group: str, label: str, head: str) -> tuple[str, ...]:
    """The classes of a head that the label of a patient of this age group allows."""
    return _ALLOWED[f"{group} {label}"][("child", "adult").index(head)]


def _contradicted(row: data.Row) -> bool:
    """A text-mined "pneumonia" that radiologists of RSNA read as normal."""
    return row.label == "pneumonia_unspecified" and row.note.endswith(":Normal")


def augmented(rng: Rng, sample: Sample, style: Sample, config: Config, fate: str) -> Image:
    """A lung tile with the traits of its source varied, some borrowed from another source.

    Parameters
    ----------
    fate : ``painted`` with opacities, ``emptied`` of its lungs, or ``kept``.
    """
    pixels, labels = data.to_unit(sample.picture.pixels), sample.picture.lungs
    strength = rng.uniform(*config.strengths)
    if fate == "painted":
        pixels = augment.opacities(rng, pixels, augment.somewhere(rng, labels))
    if rng.random() < 0.5 * strength:
        pixels = augment.borrow_spectrum(rng, pixels, data.to_unit(style.picture.pixels))
    if rng.random() < strength:
        pixels = augment.appearance(rng, pixels)
    if fate == "emptied":
        pixels = augment.without_lungs(rng, pixels, labels)
    view = augment.random_view(rng, turn_deg=8, zoom=0.1, shift=0.04)
    matrix = augment.after(view, sample.picture.alignment.matrix)
    reshaped = augment.grown(labels, int(rng.integers(-5, 6)))
    shown = lung_tile(pixels, reshaped if reshaped.any() else labels, matrix, config.side)
    return augment.cut_patches(rng, shown)


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
        fate = self._fate(rng, sample)
        image = augmented(rng, sample, style, self.config, fate)
        label = "pneumonia_unspecified" if fate == "painted" else sample.row.label
        child, adult = (
            () if fate == "emptied" else allowed_classes(sample.group, label, head) for head in ("child", "adult")
        )
        allowed = [name in child for name in CHILD] + [name in adult for name in ADULT]
        return (
            torch.from_numpy(image)[None],
            torch.tensor(allowed),
            torch.tensor(_weights(sample, bool(child), bool(adult), fate), dtype=torch.float32),
            torch.tensor(float(sample.row.is_child)),
        )

    def _fate(self, rng: Rng, sample: Sample) -> str:
        chance = rng.random()
        if chance < _EMPTIED:
            return "emptied"
        return "painted" if sample.row.label == "normal" and chance < _EMPTIED + _PAINTED else "kept"

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


def _weights(sample: Sample, child: bool, adult: bool, fate: str) -> tuple[float, float]:
    """How much each head learns from an example; both learn to claim nothing of an emptied one."""
    if fate == "emptied":
        return _OTHER_GROUP_WEIGHT, _OTHER_GROUP_WEIGHT
    own, other = 1.0, _OTHER_GROUP_WEIGHT
    return (own if sample.row.is_child else other) * child, (other if sample.row.is_child else own) * adult


def allowed_entropy(logits: Tensor, allowed: Tensor, smoothing: float = 0.03) -> Tensor:
    """Minus log of the probability of all allowed classes together, (N, C) -> (N,).

    Where nothing is allowed, the cross-entropy against even probabilities.
    """
    log_p = logits.log_softmax(1)
    taught = allowed.any(1)
    entropy = -torch.where(allowed | ~taught[:, None], log_p, -torch.inf).logsumexp(1)
    even = -log_p.mean(1)
    return torch.where(taught, (1 - smoothing) * entropy + smoothing * even, even)


def calibration_tiles(root: Path, count: int, left_out: tuple[str, ...] = ()) -> list[Image]:
    """Augmented training images as the engine gets them."""
    task, rng = Task(Config(sources_left_out=left_out), root, every=30), np.random.default_rng(1)
    return [task.example(rng)[0][0].numpy() for _ in range(count)]


def main() -> None:
    """Train in two phases, the first one only once; ``--leave-out`` makes the model that external figures need."""
    root, out, left_out = parse_arguments(__doc__)
    config = Config(name=named("pneumonia", left_out), sources_left_out=left_out)
    classifier, first = network(config), out / f"{config.name}.pt"
    if not first.exists():
        train(config, Task(config, root), classifier, out)
    classifier.load_state_dict(torch.load(first, weights_only=True))
    name = f"{config.name}_settled"
    settling = replace(config, name=name, samples=_SETTLING_SAMPLES, learning_rate=2e-4, seed=1, strengths=(0.1, 0.4))
    train(settling, Task(settling, root), classifier, out)


if __name__ == "__main__":
    main()
