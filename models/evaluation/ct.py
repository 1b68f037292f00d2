"""Figures of the CT model: ``python -m models.evaluation.ct --data DIR``.

Every series is read by the network that was trained without it, from ``build/training`` (see the card), through
the same code as on the box. Writes ``ct_report.json`` and the table of the card.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.engines.engine import ModelCard, Tensor
from edge.engines.registry import card, default_folder, load
from edge.stages.tomography import segmentation
from models.evaluation.cards import keep, write_figures
from models.evaluation.figures import Figures
from models.evaluation.volumes import against
from models.training import ct_lung, lung_references, tomography

REPORT = "ct_report.json"
_TIMED_SLICES = 40


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A trained network in floating point, as an engine."""

    card: ModelCard
    network: Any

    def run(self, images: Tensor) -> Tensor:
        """As ``Engine.run``."""
        import torch

        with torch.no_grad():
            shown = torch.from_numpy((images - self.card.mean) / self.card.std)[:, None].float()
            return np.asarray(self.network(shown).numpy(), np.float32)


def checkpoint(path: Path) -> Checkpoint:
    """The lung network of a checkpoint, with the shipped card."""
    import torch

    network = ct_lung.network(ct_lung.Config())
    network.load_state_dict(torch.load(path, weights_only=True))
    return Checkpoint(card("ct_lung"), network.eval())


def lung_figures(root: Path, checkpoints: Path) -> Figures:
    """Overlap and volume of every series by the network without it and by the shipped one, and what hand did."""
    shipped, figures = load(card("ct_lung"), threads=2), {}
    for name in tomography.SERIES:
        volume, true = lung_references.reference(root, name)
        unseen = segmentation.segment(volume, checkpoint(checkpoints / f"ct_lung_without_{name}.pt"))
        figures[f"lungs of {name}, trained without it, FP32"] = against(unseen, true)
        seen = segmentation.segment(volume, shipped)
        figures[f"lungs of {name}, shipped INT8, trained with it"] = against(seen, true)
        by_method = lung_references.classical(root, name)
        figures[f"lungs of {name}, classical method before correction by hand"] = against(by_method, true)
    timed = np.zeros((_TIMED_SLICES, 512, 512), np.float32)
    begun = time.monotonic()
    segmentation.labels_of(timed, shipped)
    figures["lungs of one slice of 512 x 512, two threads"] = {
        "milliseconds": round(1000 * (time.monotonic() - begun) / _TIMED_SLICES, 1)
    }
    return figures


def main() -> None:
    """Measure, and write the report and the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoints", type=Path, default=Path("build/training"))
    given = parser.parse_args()
    figures = lung_figures(given.data, given.checkpoints)
    keep(REPORT, "ct_lung", figures)
    write_figures(default_folder() / "ct_lung" / "card.md", figures)


if __name__ == "__main__":
    main()
