"""The one training loop: AdamW, one-cycle learning rate, checkpoints, a plain log.

Two cores need no data loader processes: examples are made in one background thread
while the network computes. In FP32: bfloat16 was measured to be slower for the depthwise
convolutions of the backbone (one thread, 192 pixels: 13 images/s against 19).
"""

from __future__ import annotations

import argparse
import json
import queue
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Recipe:
    """What every recipe has."""

    name: str
    side: int
    samples: int
    batch: int
    learning_rate: float
    seed: int = 0
    weight_decay: float = 1e-2
    encoder_rate: float = 0.3
    """Learning rate of pretrained layers, as a share of the rate of new ones."""


class Task(Protocol):
    """What a recipe gives to the loop."""

    def example(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """A random training example."""

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """Loss of a batch of examples."""


def parse_arguments(description: str | None) -> tuple[Path, Path, tuple[str, ...]]:
    """The data directory, the output directory and the sources to leave out."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="directory that holds cxr/ and ct/")
    parser.add_argument("--out", type=Path, default=Path("build/training"), help="checkpoints and logs")
    parser.add_argument("--threads", type=int, default=2, help="1 where something else keeps the other core busy")
    parser.add_argument("--leave-out", nargs="*", default=(), metavar="SOURCE", help="sources not to train on")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    return given.data, given.out, tuple(given.leave_out)


def named(name: str, left_out: tuple[str, ...]) -> str:
    """The name of a model, with the sources that it is not trained on."""
    return f"{name}_without_{'_'.join(left_out)}" if left_out else name


def train(recipe: Recipe, task: Task, model: nn.Module, out: Path) -> None:
    """Train a model and keep ``<out>/<name>.pt`` and ``<name>.log``, both renewed as it goes."""
    out.mkdir(parents=True, exist_ok=True)
    _seed(recipe.seed)
    model = model.to(memory_format=torch.channels_last)
    groups = _parameter_groups(recipe, model)
    weights = [p for group in groups for p in group["params"]]
    optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    steps = recipe.samples // recipe.batch
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, steps, pct_start=0.1)
    begun, recent = time.monotonic(), []
    with (out / f"{recipe.name}.log").open("w", encoding="utf-8") as log:
        log.write(json.dumps(asdict(recipe)) + "\n")
        for step, batch in enumerate(_batches(recipe, task, steps), 1):
            model.train()
            loss = task.loss(model, batch)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(weights, 5.0)
            optimizer.step()
            schedule.step()
            recent.append(loss.item())
            if step % 50 == 0 or step == steps:
                seconds = time.monotonic() - begun
                log.write(f"step {step}/{steps} loss {np.mean(recent):.4f} {seconds:.0f} s\n")
                log.flush()
                recent = []
            if step % 250 == 0 or step == steps:
                _save(model, out / f"{recipe.name}.pt")


def _parameter_groups(recipe: Recipe, model: nn.Module) -> list[dict[str, Any]]:
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    encoder = [p for name, p in trained if name.startswith("encoder.")]
    new = [p for name, p in trained if not name.startswith("encoder.")]
    return [
        {"params": encoder, "lr": recipe.learning_rate * recipe.encoder_rate},
        {"params": new, "lr": recipe.learning_rate},
    ]


def _seed(seed: int) -> None:
    random.seed(seed)
    torch.manual_seed(seed)


def _save(model: nn.Module, path: Path) -> None:
    partial = path.with_suffix(".part")
    torch.save(model.state_dict(), partial)
    partial.replace(path)


def _batches(recipe: Recipe, task: Task, steps: int) -> Iterator[tuple[Tensor, ...]]:
    cv2.setNumThreads(1)
    ready: queue.Queue[tuple[Tensor, ...]] = queue.Queue(maxsize=4)

    def produce() -> None:
        rng = np.random.default_rng(recipe.seed)
        for _ in range(steps):
            examples = [task.example(rng) for _ in range(recipe.batch)]
            ready.put(tuple(torch.stack(part) for part in zip(*examples, strict=True)))

    threading.Thread(target=produce, daemon=True).start()
    return (ready.get() for _ in range(steps))
