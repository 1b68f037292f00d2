"""The lung network of the box beside what a user would pick: ``python -m models.evaluation.ct_speed``.

A U-Net of the size of lungmask's R231 (Hofmanninger 2020: five levels, 64 to 1,024 channels, batch normalization,
256 x 256) in PyTorch, and ``ct_lung`` in ONNX Runtime, on the same slices and with the same threads, taking turns
in one run. Its weights are random: they do not change its time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from edge.engines import registry

_LEVELS, _FIRST, _SIDE, _CLASSES = 5, 64, 256, 3


class UNet(nn.Module):
    """Ronneberger 2015 with padding and batch normalization; (N, 1, S, S) to (N, 3, S, S)."""

    def __init__(self) -> None:
        super().__init__()
        widths = [_FIRST * 2**level for level in range(_LEVELS)]
        self.down = nn.ModuleList(_block(a, b) for a, b in zip([1, *widths], widths, strict=False))
        upwards = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in upwards)
        self.joined = nn.ModuleList(_block(a, b) for a, b in upwards)
        self.last = nn.Conv2d(_FIRST, _CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps of background and both lungs."""
        kept: list[Tensor] = []
        for block in self.down:
            x = block(x if not kept else nn.functional.max_pool2d(x, 2))
            kept.append(x)
        for up, joined, before in zip(self.up, self.joined, kept[-2::-1], strict=True):
            x = joined(torch.cat([before, up(x)], 1))
        return torch.as_tensor(self.last(x))


def _block(before: int, after: int) -> nn.Sequential:
    first = (nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(after))
    return nn.Sequential(*first, nn.Conv2d(after, after, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(after))


def main() -> None:
    """Measure and print milliseconds a slice: median and 95th percentile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    ours, theirs = registry.load(registry.card("ct_lung"), given.threads), UNet().eval()
    tiles = np.random.default_rng(0).random((4, ours.card.side, ours.card.side), np.float32)
    images = torch.rand(1, 1, _SIDE, _SIDE)

    def run_theirs() -> None:
        with torch.inference_mode():
            theirs(images)

    runs: dict[str, tuple[Callable[[], object], int]] = {
        f"ct_lung, {ours.card.precision}, ONNX Runtime": (lambda: ours.run(tiles), len(tiles)),
        f"U-Net of {sum(p.numel() for p in theirs.parameters()) / 1e6:.0f} million weights, PyTorch": (run_theirs, 1),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(given.repeat + 1):  # the first turn warms up
        for name, (run, count) in runs.items():
            began = time.perf_counter()
            run()
            times[name] += [1000 * (time.perf_counter() - began) / count] if turn else []
    for name, found in times.items():
        print(f"| {name} | {np.median(found):.1f}, {np.quantile(found, 0.95):.1f} |")


if __name__ == "__main__":
    main()
