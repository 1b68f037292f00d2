"""The embedded default: ONNX Runtime on the CPU."""

from __future__ import annotations

import numpy as np
import onnxruntime

from edge import log
from edge.engines.engine import ModelCard, Tensor
from edge.engines.unsigned import with_unsigned_activations
from edge.errors import ModelError

_AGREEMENT = 0.99
"""Least correlation of the outputs of fused and plain kernels on the test pattern.

Rounding alone leaves 0.999. Sums that saturate were seen to leave 0.80 to 0.98;
a gate with 0.90 refused every third chest.
"""


class OrtEngine:
    """A network in ONNX Runtime.

    Parameters
    ----------
    card : registry entry.
    model : the verified bytes of the model file; never read from disk a second time.
    threads : processor threads for one image; 0 lets the runtime choose.

    Raises
    ------
    ModelError
        ``model_broken`` where the runtime refuses the model.
    """

    def __init__(self, card: ModelCard, model: bytes, threads: int) -> None:
        self._card = card
        try:
            self._session = _fastest_that_agrees(with_unsigned_activations(model), card, threads)
        except Exception as error:  # the runtime's exceptions have no common base but this
            raise ModelError("model_broken", model=card.name) from error
        self._input = self._session.get_inputs()[0].name

    @property
    def card(self) -> ModelCard:
        """The registry entry of the network."""
        return self._card

    def run(self, images: Tensor) -> Tensor:
        """See ``Engine.run``."""
        normalised = (images[:, None] - np.float32(self._card.mean)) / np.float32(self._card.std)
        try:
            (output,) = self._session.run(None, {self._input: normalised.astype(np.float32)})
        except Exception as error:  # as above
            if "alloc" in str(error):  # std::bad_alloc, "Failed to allocate memory": no fault of the model
                raise MemoryError from error
            raise ModelError("model_broken", model=self._card.name) from error
        return np.asarray(output, np.float32)


def _fastest_that_agrees(model: bytes, card: ModelCard, threads: int) -> onnxruntime.InferenceSession:
    """A session with fused integer kernels, or the plain one where the fused one computes something else.

    On x86 processors without VNNI the integer kernels add pairs of products in 16 bits and may
    saturate: the answer is wrong without any error. The runtime has slower kernels for them that do
    not (``session.x64quantprecision``), three times as fast as plain ones. One look at one image at
    each start finds a processor or a runtime that errs nevertheless.
    """
    fused = session(model, threads, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL)
    plain = session(model, threads, onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
    feed = {fused.get_inputs()[0].name: _test_pattern(card.side)}
    seen, expected = (one.run(None, feed)[0] for one in (fused, plain))
    if _correlation(seen, expected) >= _AGREEMENT:
        return fused
    log.event("integer_kernels_disagree", model=card.name)
    return plain


def _correlation(seen: Tensor, expected: Tensor) -> float:
    """Of two outputs; 0 where one of them is the same everywhere, and so tells nothing."""
    varies = np.ptp(seen) > 0 and np.ptp(expected) > 0  # not deviations: of equal numbers rounding leaves some
    return float(np.corrcoef(seen.ravel(), expected.ravel())[0, 1]) if varies else 0.0


def session(model: bytes, threads: int, level: onnxruntime.GraphOptimizationLevel) -> onnxruntime.InferenceSession:
    """A session as the box runs every network, at this level of optimization."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = level
    # Spinning threads would take the second core away from the receiver and the page.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.x64quantprecision", "1")  # changes nothing where there is VNNI
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _test_pattern(side: int) -> Tensor:
    """Two dark lungs with fine ribs in a bright body, shape (1, 1, side, side), from -1 to 1."""
    rows, columns = np.meshgrid(*[np.linspace(-1, 1, side, dtype=np.float32)] * 2, indexing="ij")
    lungs = ((np.abs(columns) - 0.45) / 0.33) ** 2 + (rows / 0.75) ** 2 < 1
    ribs = 0.25 * np.sin(30 * (rows + 0.3 * np.abs(columns)))
    return np.where(lungs, ribs - 0.5, ribs * 0.3 + 0.7).astype(np.float32)[None, None]
