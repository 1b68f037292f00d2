"""How far two outlines of the lungs of one volume agree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge.stages.tomography.lungs import LEFT, RIGHT
from models.evaluation.lung_field import dice


def against(found: npt.NDArray[np.uint8], true: npt.NDArray[np.uint8]) -> dict[str, float]:
    """Dice of both lungs together and of each, and the error of the volume of both in percent."""
    return {
        "dice": round(dice(found > 0, true > 0), 4),
        "right": round(dice(found == RIGHT, true == RIGHT), 4),
        "left": round(dice(found == LEFT, true == LEFT), 4),
        "volume_error_percent": round(100 * (float((found > 0).sum()) / float((true > 0).sum()) - 1), 2),
    }
