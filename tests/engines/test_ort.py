"""The engine notices a processor whose integer kernels compute something else."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from edge.engines import ort, registry

FUSED = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL


class Saturating:
    """A session whose sums stop at a bound, as 16-bit sums do on processors without VNNI."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, outputs: None, feed: dict[str, Any]) -> list[Any]:
        (output,) = self._session.run(outputs, feed)
        return [np.minimum(output, np.quantile(output, 0.3))]


@pytest.mark.parametrize("name", sorted(registry.cards()))
def test_a_processor_with_wrong_integer_kernels_gets_the_plain_ones(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    card = registry.card(name)
    image = np.random.default_rng(5).random((1, card.side, card.side)).astype(np.float32)
    right = registry.load(card, threads=1).run(image)
    assert "integer_kernels_disagree" not in capfd.readouterr().err
    real = ort.session
    monkeypatch.setattr(
        ort, "session", lambda *given: Saturating(real(*given)) if given[-1] == FUSED else real(*given)
    )
    found = registry.load(card, threads=1).run(image)
    assert "integer_kernels_disagree" in capfd.readouterr().err
    assert np.corrcoef(found.ravel(), right.ravel())[0, 1] > 0.9
