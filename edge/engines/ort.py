"""The embedded default: ONNX Runtime on the CPU."""

from __future__ import annotations

import numpy as np
import onnxruntime

from edge.engines.engine import ModelCard, Tensor
from edge.engines.unsigned import with_unsigned_activations
from edge.errors import ModelError


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
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # Spinning threads would take the second core away from the receiver and the page.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            unsigned = with_unsigned_activations(model)
            self._session = onnxruntime.InferenceSession(unsigned, options, providers=["CPUExecutionProvider"])
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
            raise ModelError("model_broken", model=self._card.name) from error
        return np.asarray(output, np.float32)
