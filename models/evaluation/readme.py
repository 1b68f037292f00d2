"""The README's section on figures: each goal with what was found, and the plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.evaluation.cards import as_text
from models.evaluation.figures import Figures
from models.evaluation.plots import FILES

_CAPTIONS = {
    "roc": "ROC curves of the external questions",
    "reliability": "Reliability of the probabilities",
    "risk_coverage": "Share of wrong answers against share of answers",
}


def section(goals: Sequence[Mapping[str, Any]], precisions: Mapping[str, str], exact: Figures) -> list[str]:
    """Lines of the section.

    Parameters
    ----------
    precisions : of each shipped model, ``int8`` or ``fp32``.
    exact : FP32 beside INT8, where it was measured.
    """
    met = sum(bool(goal["met"]) for goal in goals)
    return [
        "| question | figure | 95 % interval | goal | |",
        "|---|---|---|---|---|",
        *map(_row, goals),
        "",
        f"{met} of {len(goals)} goals are met. External figures stand first.",
        "",
        *(f"![{_CAPTIONS[name]}](docs/figures/{file})" for name, file in FILES.items()),
        "",
        _precision(precisions),
        *_exact(exact),
    ]


def _row(goal: Mapping[str, Any]) -> str:
    found = "not measured" if goal["found"] is None else as_text(goal["found"])
    interval = "" if goal["interval_95"] is None else as_text(goal["interval_95"])
    return f"| {goal['figure']} | {found} | {interval} | {goal['goal']} | {'met' if goal['met'] else '**not met**'} |"


def _precision(precisions: Mapping[str, str]) -> str:
    named = ", ".join(f"`{name}` {precision.upper()}" for name, precision in sorted(precisions.items()))
    return f"Precision of the shipped models, as the release gate decided: {named}."


def _exact(exact: Figures) -> list[str]:
    if not exact:
        return []
    rows = (
        f"| {name} | {', '.join(f'{k} {as_text(v)}' for k, v in figure.items())} |" for name, figure in exact.items()
    )
    return ["", "FP32 and the shipped files on the same images:", "", "| question | figures |", "|---|---|", *rows]
