"""The engine notices a processor whose integer kernels compute something else."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from edge.engines import ort, registry
from edge.engines.unsigned import with_unsigned_activations

FUSED = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
PLAIN = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL


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
    monkeypatch.setattr(ort, "session", lambda *given: Saturating(real(*given)) if given[-1] == FUSED else real(*given))
    found = registry.load(card, threads=1).run(image)
    assert "integer_kernels_disagree" in capfd.readouterr().err
    assert np.corrcoef(found.ravel(), right.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("name", sorted(registry.cards()))
def test_integer_kernels_compute_what_plain_ones_do_also_without_vnni(name: str) -> None:
    card = registry.card(name)
    model = with_unsigned_activations(registry.verified_bytes(card))
    fused, plain = (ort.session(model, 1, level) for level in (FUSED, PLAIN))
    feed = {fused.get_inputs()[0].name: ort._test_pattern(card.side)}
    found, right = (session.run(None, feed)[0].ravel() for session in (fused, plain))
    assert np.corrcoef(found, right)[0, 1] > 0.99
    assert fused.get_session_options().get_session_config_entry("session.x64quantprecision") == "1"
