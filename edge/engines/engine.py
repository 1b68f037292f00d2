"""What every engine offers, whichever runtime is behind it.

ONNX Runtime on the CPU is the default (``ort.py``). A TensorRT engine will stand beside
it and be built from the same ONNX file, so a stage never knows which one it talks to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """One entry of the registry.

    Attributes
    ----------
    sha256 : of the model file, hexadecimal.
    side : height and width of the square grey input, in pixels.
    mean, std : what is subtracted from, and then divides, pixels in [0, 1].
    outputs : what each output channel means, in order.
    thresholds : decision limits and calibration, bound to ``sha256``.
    """

    name: str
    version: str
    path: Path
    sha256: str
    precision: str
    side: int
    mean: float
    std: float
    outputs: tuple[str, ...]
    thresholds: Mapping[str, Any]


class Engine(Protocol):
    """A loaded network."""

    @property
    def card(self) -> ModelCard:
        """The registry entry of the network."""

    def run(self, images: Tensor) -> Tensor:
        """Compute the output of grey images.

        Parameters
        ----------
        images : float32, shape (N, side, side), in [0, 1]

        Returns
        -------
        float32, shape (N, ...): logits, channels in the order of ``card.outputs``.

        Raises
        ------
        ModelError
            ``model_broken`` where the runtime fails.
        """
