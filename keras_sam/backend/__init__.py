"""The only place that names a framework. Which one is used follows from Keras's own backend.

One module a framework, all with the same names:

    value_and_grad(fn)    fn(values, *args) -> (loss, aux); returns ((loss, aux), gradients)
    dense(tensor)         a gradient as an ordinary tensor

and one trainer a framework: `SAMTrainer`, the part of SAMModel that drives Keras's training step.
"""

import keras

if keras.backend.backend() == "tensorflow":
    from keras_sam.backend.tensorflow import dense, value_and_grad
else:
    raise ImportError(
        "keras_sam runs on the Keras backends: 'tensorflow'. Set the environment variable "
        "KERAS_BACKEND before Keras is imported. "
        f"Received: keras.backend.backend()={keras.backend.backend()!r}"
    )

__all__ = ["dense", "value_and_grad"]
