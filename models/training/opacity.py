"""Recipe: U-Net that marks opacities of the lungs and scores their severity.

Three maps in the frame of the atlas: opacity (ground glass or consolidation),
consolidation, and severity, whose mean over a zone is that zone's Brixia score. What each
source can teach:

- lesion.zip: outlines of ground glass and consolidation in 100 images;
- boxes of radiologists on NIH training images: nothing is opaque outside of them, something inside;
- normal images of every training source: nothing is opaque;
- Brixia scores: the severity of each zone.

Severity and lesion images are patients of Cohen's collection, so five models are trained,
each without a fifth of the patients, to measure with (``opacity_fold_<k>.pt``), and one on
all of them to ship. The encoder starts from the classifier, which never saw these patients.

    python -m models.training.opacity --data ../shared/data
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.stages.radiograph.detection import OUTPUTS
from edge.stages.radiograph.geometry import lung_tile, warp_labels
from edge.stages.radiograph.severity import MOST_BY_ZONE
from edge.types import Zone
from models.training import augment, data, lungs
from models.training.augment import Image, Rng
from models.training.backbone import MEAN, STD, UNet
from models.training.loop import Recipe, parse_arguments, train

FOLDS = 5
OPAQUE, CONSOLIDATED, BOXED = 1, 2, 4
"""Bits of a target."""
_ATLAS_SIDE = 192
_DRAWN = {"lesion": 0.35, "boxes": 0.15, "normal": 0.2, "brixia": 0.3}
_EVERY_NORMAL = 5
"""One of so many normal training images is shown to the network."""
_SUREST = 0.3
"""Share of the pixels of a box that have to be opaque."""


@dataclass(frozen=True, slots=True)
class Config(Recipe):
    """What the shipped model was trained with."""

    name: str = "opacity"
    side: int = 192
    samples: int = 7_200
    batch: int = 16
    learning_rate: float = 1e-3
    encoder_rate: float = 0.2
    frozen_blocks: int = 5
    widths: tuple[int, ...] = (96, 64, 32, 16)


def network(config: Config) -> UNet:
    """The network before training; maps in the order of ``OUTPUTS``."""
    return UNet(len(OUTPUTS), config.widths, config.frozen_blocks)


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture and what is known of its opacities.

    Attributes
    ----------
    target : uint8, shape (192, 192), in the frame of the atlas: bits ``OPAQUE``, ``CONSOLIDATED``, ``BOXED``.
    kind : key of ``_DRAWN``.
    scores : of the six zones, 0 to 3; None where unknown.
    """

    picture: lungs.Picture
    patient: str
    kind: str
    target: data.Grey
    scores: npt.NDArray[np.float32] | None = None


def fold_of(patient: str) -> int:
    """Which fifth of the patients somebody belongs to: by a hash, so that more images change nothing."""
    return hashlib.sha256(patient.encode()).digest()[0] % FOLDS


def lesion_samples(root: Path) -> Iterator[Sample]:
    """Images with outlined lesions."""
    rows = data.lesion_rows(root, of_known_patients=True) + data.lesion_rows(root, of_known_patients=False)
    images = ((f"lesion.zip/{row['file']}", data.image(root, "cxr/lesion.zip", row["file"])) for row in rows)
    for row, picture in zip(rows, lungs.pictures(images), strict=True):
        if picture is not None:
            mask = data.image(root, "cxr/lesion.zip", row["mask"])
            solid = (mask & data.LESION_CONSOLIDATION) > 0
            opaque = solid | ((mask & data.LESION_GROUND_GLASS) > 0)
            target = warp_labels(
                (opaque * OPAQUE + solid * CONSOLIDATED).astype(np.uint8), picture.alignment.matrix, _ATLAS_SIDE
            )
            stem = Path(row["file"]).stem
            yield Sample(picture, data.collection_patient(root, stem), "lesion", target)


def box_samples(root: Path, split: str) -> Iterator[Sample]:
    """NIH images on which radiologists drew boxes."""
    boxes: dict[str, list[dict[str, str]]] = {}
    for box in data.table(root, "boxes.csv"):
        boxes.setdefault(box["file"], []).append(box)
    rows = [row for row in data.manifest(root) if row.file in boxes and row.split == split]
    for row, picture in lungs.of_rows(root, rows):
        mask = np.zeros(picture.pixels.shape, np.uint8)
        for x0, y0, x1, y1 in (data.box_corners(box) for box in boxes[row.file]):
            low, high = np.array([[y0, x0], [y1, x1]]) * mask.shape
            mask[int(low[0]) : int(high[0]) + 1, int(low[1]) : int(high[1]) + 1] = BOXED
        target = warp_labels(mask, picture.alignment.matrix, _ATLAS_SIDE)
        yield Sample(picture, row.patient, "boxes", target)


def unused_normals(root: Path) -> Iterator[tuple[str, lungs.Picture]]:
    """Source and picture of normal images to fit limits with: validation images, and NIH's training images.

    NIH has no validation images; of its training images those are taken that ``normal_samples`` left out.
    """
    normal = [row for row in data.manifest(root) if row.label == "normal"]
    trained = {row.file for row in [row for row in normal if row.split == "train"][::_EVERY_NORMAL]}
    rows = [row for row in normal if row.split == "val"][::2]
    rows += [row for row in normal if row.source == "NIH" and row.split == "train" and row.file not in trained]
    return ((row.source, picture) for row, picture in lungs.of_rows(root, rows))


def normal_samples(root: Path, split: str, every: int) -> Iterator[Sample]:
    """Every so many-th normal image of a split."""
    rows = [row for row in data.manifest(root) if row.split == split and row.label == "normal"][::every]
    empty = np.zeros((_ATLAS_SIDE, _ATLAS_SIDE), np.uint8)
    for row, picture in lungs.of_rows(root, rows):
        yield Sample(picture, row.patient, "normal", empty, np.zeros(len(Zone), np.float32))


def scored_samples(root: Path) -> Iterator[Sample]:
    """Images with Brixia scores, the mean of both readers, of cohen.zip and lesion.zip."""
    scores = data.brixia_scores(root)
    nothing = np.zeros((_ATLAS_SIDE, _ATLAS_SIDE), np.uint8)
    for stem, picture in collection(root, set(scores)):
        yield Sample(picture, data.collection_patient(root, stem), "brixia", nothing, scores[stem])


def collection(root: Path, stems: set[str]) -> Iterator[tuple[str, lungs.Picture]]:
    """Pictures of Cohen's collection by file name without suffix, from cohen.zip or else from lesion.zip."""
    rows = {Path(r.file).stem: ("cxr/cohen.zip", r.file) for r in data.manifest(root) if r.archive == "cohen.zip"}
    lesions = {Path(r["file"]).stem: ("cxr/lesion.zip", r["file"]) for r in data.table(root, "lesion_manifest.csv")}
    places = {stem: place for stem, place in {**lesions, **rows}.items() if stem in stems}
    images = ((f"{Path(archive).name}/{file}", data.image(root, archive, file)) for archive, file in places.values())
    for stem, picture in zip(places, lungs.pictures(images), strict=True):
        if picture is not None:
            yield stem, picture


def load(root: Path, without_fold: int | None) -> list[Sample]:
    """All training samples but those of the patients of one fold."""
    found = [*lesion_samples(root), *box_samples(root, "train")]
    found += [*normal_samples(root, "train", every=_EVERY_NORMAL), *scored_samples(root)]
    return [sample for sample in found if without_fold is None or fold_of(sample.patient) != without_fold]


def augmented(rng: Rng, sample: Sample, side: int) -> tuple[Image, data.Grey, data.Grey]:
    """A lung tile (S, S), and its target and zones (S / 2, S / 2)."""
    pixels = data.to_unit(sample.picture.pixels)
    if rng.random() < 0.7:
        pixels = augment.appearance(rng, pixels)
    view = augment.random_view(rng, turn_deg=8, zoom=0.1, shift=0.04)
    reshaped = augment.grown(sample.picture.lungs, int(rng.integers(-2, 6)))
    shown = lung_tile(pixels, reshaped, augment.after(view, sample.picture.alignment.matrix), side)
    return (
        shown,
        warp_labels(sample.target, view, side // 2),
        warp_labels(sample.picture.alignment.zones, view, side // 2),
    )


class Task:
    """Examples and loss for the training loop."""

    def __init__(self, config: Config, samples: list[Sample]) -> None:
        self.config = config
        self.by_kind = {kind: [s for s in samples if s.kind == kind] for kind in _DRAWN}

    def example(self, rng: Rng) -> tuple[Tensor, ...]:
        """Image (1, S, S), target and zones (S / 2, S / 2), scores (6,) or -1, number of the kind."""
        kind = str(rng.choice(list(_DRAWN), p=list(_DRAWN.values())))
        group = self.by_kind[kind]
        sample = group[rng.integers(len(group))]
        shown, target, zones = augmented(rng, sample, self.config.side)
        scores = np.full(len(Zone), -1, np.float32) if sample.scores is None else sample.scores
        number = list(_DRAWN).index(kind)
        return (
            torch.from_numpy(shown)[None],
            torch.from_numpy(target),
            torch.from_numpy(zones),
            torch.from_numpy(scores),
            torch.tensor(number),
        )

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """Pixels where they are known, boxes, and zones."""
        image, target, zones, scores, kind = batch
        logits = model((image - MEAN) / STD).float()
        names = list(_DRAWN)
        is_boxed, is_scored_only = kind == names.index("boxes"), kind == names.index("brixia")
        known = (zones > 0) & ((target & BOXED) == 0) & ~is_scored_only[:, None, None]
        return (
            _pixels(logits[:, 0], (target & OPAQUE) > 0, known)
            + 0.5 * _pixels(logits[:, 1], (target & CONSOLIDATED) > 0, known)
            + 0.3 * _inside_boxes(logits[is_boxed, 0], ((target & BOXED) > 0)[is_boxed] & (zones > 0)[is_boxed])
            + _zones(logits[:, 2].sigmoid() * MOST_BY_ZONE, zones, scores)
        )


def _pixels(logits: Tensor, true: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy plus soft Dice of all known pixels of the batch together."""
    weight, target = known.float(), true.float()
    entropy = F.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum") / weight.sum().clamp(min=1)
    p, t = logits.sigmoid() * weight, target * weight
    return entropy + 0.5 * (1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1))


def _inside_boxes(logits: Tensor, inside: Tensor) -> Tensor:
    """Minus log of the mean over the surest pixels inside the boxes of each image, (N, S, S) -> ()."""
    losses = []
    for plane, where in zip(logits, inside, strict=True):
        values = plane[where]
        if values.numel() >= 8:
            losses.append(-F.logsigmoid(values.topk(int(_SUREST * values.numel()) or 1).values).mean())
    return torch.stack(losses).mean() if losses else logits.sum() * 0


def _zones(severity: Tensor, zones: Tensor, scores: Tensor) -> Tensor:
    """Smooth L1 of the mean severity of each zone whose score is known."""
    masks = torch.stack([zones == number for number in range(1, len(Zone) + 1)], 1).float()  # (N, 6, S, S)
    found = (severity[:, None] * masks).sum((2, 3)) / masks.sum((2, 3)).clamp(min=1)
    known = (scores >= 0).float() * (masks.sum((2, 3)) > 0)
    return (F.smooth_l1_loss(found, scores, reduction="none") * known).sum() / known.sum().clamp(min=1)


def calibration_tiles(root: Path, count: int) -> list[Image]:
    """Training images as the engine gets them."""
    samples = load(root, None)
    rng = np.random.default_rng(1)
    return [augmented(rng, samples[i], Config().side)[0] for i in rng.choice(len(samples), count)]


def main() -> None:
    """Train five models to measure with and one to ship; a checkpoint that is there is not made again."""
    root, out, _ = parse_arguments(__doc__)
    for fold in (None, *range(FOLDS)):
        config = Config(name="opacity" if fold is None else f"opacity_fold_{fold}")
        if not (out / f"{config.name}.done").exists():
            model = network(config)
            model.encoder.load_state_dict(_of_classifier(out / "pneumonia.pt"), strict=False)
            train(config, Task(config, load(root, fold)), model, out)
            (out / f"{config.name}.done").touch()


def _of_classifier(path: Path) -> dict[str, Tensor]:
    """The encoder of a trained classifier."""
    state = torch.load(path, weights_only=True)
    return {k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")}


if __name__ == "__main__":
    main()
