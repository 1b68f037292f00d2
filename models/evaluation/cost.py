"""What the networks of the box cost: megabytes on the disk, milliseconds on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge import clock
from edge.engines.engine import Engine
from edge.stages.radiograph import classification, detection
from models.evaluation.figures import Figures

_TURNS = 30


def evaluate(by: Mapping[str, Engine]) -> Figures:
    """Size and time of each network and of all together, one image at a time."""
    each = {f"network {name}": _cost(engine) for name, engine in sorted(by.items())}
    total = {key: round(sum(cost[key] for cost in each.values()), 1) for key in ("megabytes", "milliseconds")}
    return {**each, ALL: total}


ALL = "all networks together"
_MIRRORED = (classification.STAGE.model, detection.STAGE.model)


def _cost(engine: Engine) -> dict[str, Any]:
    times = [network_s(engine) for _ in range(_TURNS)]
    size = engine.card.path.stat().st_size / 1e6
    return {"megabytes": round(size, 2), "milliseconds": round(1000 * float(np.median(times)), 1)}


def network_s(engine: Engine) -> float:
    """Seconds of one radiograph through a network; some see its mirror image as well."""
    image = np.zeros((1 + (engine.card.name in _MIRRORED), engine.card.side, engine.card.side), np.float32)
    started = clock.monotonic()
    engine.run(image)
    return clock.monotonic() - started
