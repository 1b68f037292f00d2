"""Figures of the CT classifier: ``python -m models.evaluation.ct_covid19 --data DIR``.

On sources that it has not seen, by patient, of its sets, and of pictures whose lungs cannot be seen. Writes its part of
``ct_report.json`` and the table of its card.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.engines.engine import Engine
from edge.engines.registry import card, default_folder, load
from edge.stages.tomography import segmentation
from edge.stages.tomography.covid19 import pooled, prediction_set, probability
from models.evaluation import ct_sources
from models.evaluation.cards import keep, write_figures
from models.evaluation.ct import REPORT
from models.evaluation.ct_limits import Unseen, limits
from models.evaluation.ct_sources import Shared
from models.evaluation.figures import Figures, Numbers, auc_with_interval, share
from models.evaluation.precision import released
from models.training import ct_covid19, tomography
from models.training.lung_pictures import Picture

_UCSD = "UCSD COVID-CT"
_MOSMED = "MosMed"
_FOLDS = 5
_RING_PX = 6


def figures(root: Path) -> Figures:
    """All of them; the first ones are those that count."""
    everything = ct_sources.shared(root)
    found, shipped = ct_sources.unseen(everything), load(card("ct_covid19"), threads=2)
    return {
        **{f"{name}, unseen": _of_pictures(everything.of_source(name), one) for name, one in found.items()},
        f"{_UCSD}, unseen, by patient": by_patient(everything.of_source(_UCSD), found[_UCSD].logits),
        f"{_UCSD}, by patient, five folds of its patients": by_patient(*_folded(everything)),
        **_degrees(everything.of_source(_MOSMED), found[_MOSMED]),
        **_sets(found),
        **_probes(everything),
        **_shipped(everything, shipped),
        **_series(root, shipped),
    }


def _of_pictures(mine: Shared, one: Unseen) -> dict[str, Any]:
    return auc_with_interval(one.logits, one.is_covid, [p.row.patient for p in mine.pictures])


def by_patient(mine: Shared, logits: Numbers) -> dict[str, Any]:
    """AUC of the mean logit of each patient."""
    patients, member = np.unique([one.row.patient for one in mine.pictures], return_inverse=True)
    count = np.bincount(member)
    mean = np.bincount(member, logits) / count
    is_covid = np.bincount(member, mine.is_covid) * 2 > count
    return auc_with_interval(mean, is_covid, list(patients))


def _folded(everything: Shared) -> tuple[Shared, Numbers]:
    """UCSD, each fifth of its patients read by what was learnt of the rest and of the training pictures elsewhere."""
    mine = everything.of_source(_UCSD)
    patients = np.array([one.row.patient for one in mine.pictures])
    names = np.random.default_rng(0).permutation(np.unique(patients))
    fold_of = {name: i % _FOLDS for i, name in enumerate(names)}
    logits = np.zeros(len(patients))
    for fold in range(_FOLDS):
        held = {name for name in names if fold_of[name] == fold}
        logits[np.isin(patients, list(held))] = _without_patients(everything, held)(
            mine.shares[np.isin(patients, list(held))]
        )
    return mine, logits


def _without_patients(everything: Shared, held: set[str]) -> ct_covid19.Line:
    kept = [
        one.row.patient not in held if one.row.source == _UCSD else ct_covid19.teaches(one, ())
        for one in everything.pictures
    ]
    taught = everything.only(np.array(kept))
    return ct_covid19.fitted(taught.shares, taught.pictures, ct_covid19.Config().ridge)


def _degrees(mine: Shared, one: Unseen) -> Figures:
    """MosMed by the degree of the disease: up to a quarter of the lungs, and a quarter to a half."""
    degree = np.array([p.row.degree for p in mine.pictures])
    found = {}
    for known in (1, 2):
        kept = np.isin(degree, (0, known))
        part = Unseen(one.logits[kept], one.is_covid[kept])
        found[f"{_MOSMED}, unseen, CT-{known} against CT-0"] = _of_pictures(mine.only(kept), part)
    return found


def _sets(found: dict[str, Unseen]) -> Figures:
    """Prediction sets on each source, with the limits that are shipped and with those of the two other sources."""
    made: dict[str, dict[str, Any]] = {}
    for name, one in found.items():
        others = limits({other: it for other, it in found.items() if other != name})
        made |= _sets_of(f"{name}, unseen, limits of all sources", one, limits(found))
        made |= _sets_of(f"{name}, unseen, limits of the others", one, others)
    return made


def _sets_of(name: str, one: Unseen, found: dict[str, float]) -> dict[str, dict[str, Any]]:
    judge = replace(card("ct_covid19"), thresholds=found)
    sets = [prediction_set(pooled(np.array([logit], np.float32), judge), judge) for logit in one.logits]
    true = np.where(one.is_covid, "covid19", "not_covid19")
    held = np.array([truth in possible for truth, possible in zip(true, sets, strict=True)])
    single = np.array([len(possible) == 1 for possible in sets])
    return {
        f"{name}: set holds the truth, COVID-19": share(list(held[one.is_covid])),
        f"{name}: set holds the truth, not COVID-19": share(list(held[~one.is_covid])),
        f"{name}: set holds both": share(list(~single)),
        f"{name}: right where the set holds one": share(list(held[single])),
    }


def _probes(everything: Shared) -> Figures:
    """What is told of unseen sources where the lungs cannot be seen: what is left is a shortcut."""
    made = {}
    for name, change in _PROBES.items():
        tiles = [change(one, seed).tile() for seed, one in enumerate(everything.pictures)]
        probed = Shared(everything.pictures, ct_covid19.shares(tiles), everything.is_covid)
        for source in tomography.SOURCES:
            mine = probed.of_source(source)
            seen = Unseen(everything.line_without((source,))(mine.shares), mine.is_covid)
            made[f"{source}, unseen, {name}"] = _of_pictures(mine, seen)
    return made


def filled(picture: Picture, seed: int) -> Picture:
    """A picture with smooth noise, of the same kind for all, where its lungs were."""
    noise = np.random.default_rng(seed).normal(0, 1, picture.levelled.shape).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return replace(picture, levelled=(0.2 + 0.1 * smooth / smooth.std()).astype(np.float16))


def ring(picture: Picture, _seed: int) -> Picture:
    """A picture of whose lungs a ring at their border is left; inside, its median."""
    kernel = np.ones((2 * _RING_PX + 1, 2 * _RING_PX + 1), np.uint8)
    inner = cv2.erode(picture.lungs.astype(np.uint8), kernel) > 0
    border = picture.lungs & ~inner
    median = np.median(picture.levelled[border]) if border.any() else np.float16(0)
    return replace(picture, levelled=np.where(inner, median, picture.levelled).astype(np.float16))


def core(picture: Picture, _seed: int) -> Picture:
    """A picture without that ring."""
    kernel = np.ones((2 * _RING_PX + 1, 2 * _RING_PX + 1), np.uint8)
    return replace(picture, lungs=cv2.erode(picture.lungs.astype(np.uint8), kernel) > 0)


_PROBES = {
    "lungs filled with noise": filled,
    "only a ring at the border of the lungs": ring,
    "the lungs without that ring": core,
}


def _shipped(everything: Shared, engine: Engine) -> Figures:
    """The shipped file on validation and test pictures of sources that it learnt from, beside floating point."""
    held = everything.only(np.array([one.row.split != "train" for one in everything.pictures]))
    exact = everything.line_without(())(held.shares)
    said = np.array([engine.run(one.tile()[None])[0, 0] for one in held.pictures], np.float64)
    made: dict[str, dict[str, Any]] = {"shipped file": released(engine.card, default_folder())}
    for source in tomography.SOURCES:
        kept = np.array([one.row.source == source for one in held.pictures])
        mine = held.only(kept)
        patients = [one.row.patient for one in mine.pictures]
        made[f"{source}, learnt from, shipped file"] = auc_with_interval(said[kept], mine.is_covid, patients)
        made[f"{source}, learnt from, FP32"] = auc_with_interval(exact[kept], mine.is_covid, patients)
    return made


def _series(root: Path, engine: Engine) -> Figures:
    """The three series, of one patient each and of no source that taught: examples, no statistics."""
    lungs, made = load(card("ct_lung"), threads=2), {}
    for name in tomography.SERIES:
        volume = tomography.series(root, name)
        found = probability(volume.hu[::-1], segmentation.segment(volume, lungs)[::-1], engine)
        possible = () if found is None else prediction_set(found, engine.card)
        made[f"series {name}"] = {
            "probability": None if found is None else round(found, 3),
            "set": " or ".join(possible),
        }
    return made


def main() -> None:
    """Measure, and write the report and the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    found = figures(parser.parse_args().data)
    keep(REPORT, "ct_covid19", found)
    write_figures(default_folder() / "ct_covid19" / "card.md", found)


if __name__ == "__main__":
    main()
