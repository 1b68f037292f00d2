"""What of a result an object may say: the same for every kind of object.

An abstention stays one: where the box refers, no object holds a probability, a mark or a severity.
The page can fold such values away behind a touch; a PACS shows what it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge import wording
from edge.types import Decision, Severity, State

_CLAIMS = frozenset({Decision.NORMAL.value, Decision.ABNORMAL.value})
_SIDE_UNKNOWN = "mirrored"


@dataclass(frozen=True, slots=True)
class Content:
    """A result, reduced to what may be said."""

    report: Mapping[str, Any]

    @property
    def decision(self) -> str | None:
        """``normal``, ``abnormal`` or ``refer``; None without one."""
        decision: str | None = (self.report["classification"] or {}).get("decision")
        return decision

    @property
    def is_chest(self) -> bool:
        """Whether the gate took the image for a frontal chest radiograph, or for a chest CT."""
        return bool(self.report["state"] == State.DONE.value)

    @property
    def is_tomography(self) -> bool:
        """Whether the result is about a chest CT."""
        return bool(self.report["modality"] == wording.CT)

    @property
    def is_claim(self) -> bool:
        """Whether the box makes a claim."""
        return self.is_chest and self.decision in _CLAIMS

    @property
    def verdict(self) -> wording.Verdict:
        """The sentence of the page, not yet translated."""
        return wording.verdict(
            State(self.report["state"]), self.decision, self.probabilities, self.report.get("modality")
        )

    @property
    def probabilities(self) -> dict[str, float]:
        """By class, likeliest first; {} where the box makes no claim."""
        found = (self.report["classification"] or {}).get("probabilities") or {} if self.is_claim else {}
        known = {name: probability for name, probability in found.items() if probability is not None}
        return dict(sorted(known.items(), key=lambda pair: -pair[1]))

    @property
    def segmentation(self) -> Mapping[str, Any] | None:
        """The outlines where they are believed."""
        found: Mapping[str, Any] | None = self.report["segmentation"]
        return found if found and found.get("plausible") else None

    @property
    def lungs(self) -> dict[str, Sequence[Any]]:
        """Contours of the lungs that were outlined, by ``right_lung`` and ``left_lung``."""
        contours = (self.segmentation or {}).get("contours") or {}
        return {lung: contours[lung] for lung in ("right_lung", "left_lung") if contours.get(lung)}

    @property
    def cardiothoracic(self) -> Mapping[str, Any] | None:
        """Ratio and lines of heart and thorax, if measured."""
        return (self.segmentation or {}).get("cardiothoracic")

    @property
    def findings(self) -> Sequence[Mapping[str, Any]]:
        """Marked places; none where the box makes no claim."""
        found: Sequence[Mapping[str, Any]] = self.report["findings"] if self.is_claim and self.segmentation else ()
        return found

    @property
    def detection(self) -> Mapping[str, Any] | None:
        """Shares of the lungs that are opaque; None where the box makes no claim."""
        return self.report["detection"] if self.is_claim else None

    @property
    def severity(self) -> Mapping[str, Any] | None:
        """Scores of severity; None where the box makes no claim."""
        return self.report["severity"] if self.is_claim else None

    @property
    def remarks(self) -> list[Mapping[str, Any]]:
        """Why there is no claim, then what was noticed about the image; each code once."""
        reasons = [] if self.is_claim else self.report["reasons"]
        return list({remark["code"]: remark for remark in (*reasons, *self.report["quality"])}.values())

    @property
    def pressing(self) -> list[Mapping[str, Any]]:
        """The remarks that ask for something to be done or looked at."""
        return [remark for remark in self.remarks if remark["severity"] != Severity.INFO.value]

    @property
    def knows_sides(self) -> bool:
        """Whether right and left may be said: written on the image, coded, or named in words. A CT tells."""
        if self.is_tomography:
            return True
        return bool(self.lungs) and all(remark["code"] != _SIDE_UNKNOWN for remark in self.report["quality"])

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """The models that took part by name, each with its version, hash, precision and ``stages``."""
        found: dict[str, dict[str, Any]] = {}
        for stage in self.report["stages"]:
            if stage["model"] and stage["model_sha256"]:
                found.setdefault(stage["model"], {**stage, "stages": []})["stages"].append(stage["name"])
        return found

    def model_of(self, name: str) -> Mapping[str, Any] | None:
        """The stage of this name with its model, or None where it had none."""
        return next((s for s in self.report["stages"] if s["name"] == name and s["model_sha256"]), None)
