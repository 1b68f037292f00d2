"""Recipe: a small network that tells a COVID-19 pattern on axial CT slices from anything else, or from nothing.

In the public pictures window, crop and source follow the label, and whatever can learn the source does. So this
network has next to nothing to learn with. Its first part is fixed: the lungs without bright structures thinner than
3, 5 and 9 pixels (grey openings, which leave haze and consolidation without vessels), then how much of them is
brighter than the median of the lung by each of six steps. That is added up over the lower half and the lowest
quarter of the box (dorsal in a patient on the back), and over the side that has less of it. Only the weights of these
54 shares are learnt, by logistic regression with a strong penalty, each source and label counting as much.

Rejected, all measured by training on two sources and testing on the third (see the card): features of ImageNet,
convolutional networks trained with strong augmentation, and boosted trees on hand-made features. Each was worse
on the worst source.

    python -m models.training.ct_covid19 --data ../shared/data
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.stages.tomography.slices import LUNG_GREY, TISSUE_GREY, Pixels
from models.evaluation.figures import Numbers
from models.training import lung_pictures
from models.training.backbone import MEAN, STD
from models.training.logistic import balanced, logistic
from models.training.loop import named, parse_arguments
from models.training.lung_pictures import Picture

_OPENINGS_PX = (3, 5, 9)
_BRIGHTER_BY = (0.05, 0.1, 0.15, 0.25, 0.4, 0.6)
"""Steps above the median of the lung, as shares of the way from aerated lung to soft tissue."""
_RAMP = 0.04
"""Greys over which a pixel comes to count, so that noise does not flip it."""
_GRID = 4
_SHARES = 3 * len(_OPENINGS_PX) * len(_BRIGHTER_BY)
OUTPUTS = ("covid19", *(f"share_{i:02}" for i in range(_SHARES)))
"""The logit, and what it was made of: an engine that computes wrongly is not found by one number."""
_BATCH = 64
_LEAST_SHARE = 1e-6
"""Added before roots are taken: their slope at zero has no bound."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the shipped model was trained with."""

    name: str = "ct_covid19"
    side: int = 128
    ridge: float = 3_300.0


class OpacityShares(nn.Module):
    """(N, 1, S, S) normalised image -> (N, len(OUTPUTS)): logit and shares."""

    def __init__(self) -> None:
        super().__init__()
        sizes, steps = len(_OPENINGS_PX), len(_BRIGHTER_BY)
        self.brighter = nn.Conv2d(sizes, sizes * steps, 1, groups=sizes).requires_grad_(False)
        limits = torch.tensor(_BRIGHTER_BY * sizes) * (TISSUE_GREY - LUNG_GREY) + LUNG_GREY
        self.brighter.weight.data.fill_(STD / _RAMP)
        self.brighter.bias.data.copy_((MEAN - limits) / _RAMP + 0.5)
        self.out = nn.Linear(_SHARES, 1)

    def shares(self, x: Tensor) -> Tensor:
        """Roots of the shares of each pool, each size and each step, (N, 54)."""
        seen = torch.cat([opened(x, size) for size in _OPENINGS_PX], 1)
        counted = self.brighter(seen).clamp(0, 1)
        grid = F.avg_pool2d(counted, x.shape[-1] // _GRID)  # (N, 18, 4, 4)
        half = _GRID // 2
        lower, lowest = grid[:, :, half:].mean((2, 3)), grid[:, :, -1:].mean((2, 3))
        sides = [grid[..., :half].mean((2, 3)), grid[..., half:].mean((2, 3))]
        pooled = torch.cat([lower, lowest, torch.minimum(*sides)], 1)
        return torch.sqrt(pooled + _LEAST_SHARE)

    def forward(self, x: Tensor) -> Tensor:
        shares = self.shares(x)
        return torch.cat([self.out(shares), shares], 1)


def opened(x: Tensor, size: int) -> Tensor:
    """Images without what is brighter than its surroundings and thinner than ``size``: a grey opening by maxima."""
    return _highest(-_highest(-x, size), size)


def _highest(x: Tensor, size: int) -> Tensor:
    reach = size // 2
    return F.max_pool2d(F.max_pool2d(x, (size, 1), 1, (reach, 0)), (1, size), 1, (0, reach))


def network(_config: Config) -> OpacityShares:
    """The network before training."""
    return OpacityShares()


def shares(tiles: Sequence[Pixels]) -> Numbers:
    """The fixed part of the network for crops of shape (S, S): shape (N, 54)."""
    fixed, found = OpacityShares(), []
    with torch.no_grad():
        for i in range(0, len(tiles), _BATCH):
            shown = torch.from_numpy((np.stack(tiles[i : i + _BATCH])[:, None] - MEAN) / STD).float()
            found.append(fixed.shares(shown).numpy())
    return np.concatenate(found).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Line:
    """The learnt part: a logit is ``shares @ weights + bias``."""

    weights: Numbers
    bias: float

    def __call__(self, found: Numbers) -> Numbers:
        """Logits, shape (N,)."""
        return np.asarray(found @ self.weights + self.bias)


def fitted(found: Numbers, pictures: Sequence[Picture], ridge: float) -> Line:
    """Learn from the shares of pictures; every source and each of its labels counts as much."""
    is_covid = np.array([one.row.is_covid for one in pictures])
    weights = balanced([one.row.source for one in pictures], is_covid)
    mean = np.average(found, 0, weights)
    scale = np.sqrt(np.average(np.square(found - mean), 0, weights)) + 1e-6
    slopes, bias = logistic((found - mean) / scale, is_covid, weights, ridge)
    return Line(slopes / scale, bias - float(mean @ (slopes / scale)))


def teaches(picture: Picture, left_out: Sequence[str]) -> bool:
    """Whether a picture is of the training split of a source that is not left out."""
    return picture.row.split == "train" and picture.row.source not in left_out


def calibration_tiles(root: Path, count: int, left_out: tuple[str, ...] = ()) -> list[npt.NDArray[np.float32]]:
    """Training pictures as the engine gets them."""
    taught = [one for one in lung_pictures.load(root, Config().side) if teaches(one, left_out)]
    return [one.tile() for one in taught[:: max(1, len(taught) // count)][:count]]


def main() -> None:
    """Train and write the checkpoint; ``--leave-out`` makes a model without a source."""
    root, out, left_out = parse_arguments(__doc__)
    config = Config()
    taught = [one for one in lung_pictures.load(root, config.side) if teaches(one, left_out)]
    line = fitted(shares([one.tile() for one in taught]), taught, config.ridge)
    model = network(config)
    model.out.weight.data.copy_(torch.from_numpy(line.weights)[None])
    model.out.bias.data.fill_(line.bias)
    out.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), out / f"{named(config.name, left_out)}.pt")


if __name__ == "__main__":
    main()
