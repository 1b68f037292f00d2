"""What a stage is: a named step that reads a case and adds to it.

A case is what the stages of one sort of image hand on: ``edge.stages.radiograph.case.Case`` or
``edge.stages.tomography.scan.Scan``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from edge.engines.engine import Engine
from edge.types import Finding, Lesion, Mask, Remark

C = TypeVar("C")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[C]):
    """What a stage adds: the case for the next stages, its JSON values, remarks and masks.

    ``is_skipped`` tells that it had nothing to read, since a stage before it gave nothing.
    """

    case: C
    values: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[Remark, ...] = ()
    masks: Mapping[str, Mask] = field(default_factory=dict)
    findings: tuple[Finding | Lesion, ...] = ()
    is_skipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(Generic[C]):
    """A step of the reading.

    Attributes
    ----------
    model : the network that ``read`` runs or takes its limits from; None for a step that needs none.
    read : reads a case with that network.
    unaided : reads a case without a network: where the step needs none, or where its own must not be used.
    """

    name: str
    model: str | None = None
    read: Callable[[C, Engine], Outcome[C]] | None = None
    unaided: Callable[[C], Outcome[C]] | None = None
