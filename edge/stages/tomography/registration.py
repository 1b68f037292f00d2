"""Registration: how an earlier CT lies on this one.

Without a prior, the frame is that of the lungs themselves: thirds by volume along the body, and depth below the chest
wall. There is no atlas of other people's lungs: a transform onto one would move the borders of the zones, but not
make them truer, since thirds of a lung have no anatomy to be matched.
"""

from __future__ import annotations

from dataclasses import replace

from edge.stages.stage import Outcome, Stage
from edge.stages.tomography.alignment import align, carried, matched
from edge.stages.tomography.scan import Bits, PriorScan, Scan
from edge.types import N_, Remark, Severity

PRIOR_NOT_ALIGNED = Remark(
    code="prior_not_aligned",
    text=N_("The earlier CT does not lie like this one: nothing is compared."),
    severity=Severity.WARN,
)

_MOST_RESIDUAL = 0.12
"""Public series lie on themselves, shifted, turned and stretched, with 0.005; on each other with 0.14 to 0.19."""


def unaided(scan: Scan) -> Outcome[Scan]:
    """Lay the prior on this scan where there is one; without lungs there is nothing to lay."""
    if scan.lungs is None:
        return Outcome(case=scan, is_skipped=True)
    if scan.prior is None or not scan.prior.tissue.any():
        return Outcome(case=scan, values={"to": "atlas", "aligned": True, "residual": None})
    return _on_prior(scan, scan.prior, scan.lungs.labels > 0)


def _on_prior(scan: Scan, prior: PriorScan, lungs: Bits) -> Outcome[Scan]:
    found = align(scan.volume, lungs, prior)
    fits = found.residual <= _MOST_RESIDUAL
    values = {
        "to": "prior",
        "aligned": fits,
        "residual": round(found.residual, 4),
        "matched": matched(scan.volume, lungs, prior, found) if fits else None,
    }
    if not fits:
        return Outcome(case=scan, values=values, remarks=(PRIOR_NOT_ALIGNED,))
    moved = carried(prior, scan.volume, found)
    return Outcome(case=replace(scan, prior_tissue=moved), values=values)


STAGE = Stage(name="registration", unaided=unaided)
