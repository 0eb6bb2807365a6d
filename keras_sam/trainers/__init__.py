"""How Keras's `fit` carries out the step: one module a framework, each with a `SAMTrainer`."""

import keras

if keras.backend.backend() == "tensorflow":
    from keras_sam.trainers.tensorflow import SAMTrainer
elif keras.backend.backend() == "jax":
    from keras_sam.trainers.jax import SAMTrainer
else:
    from keras_sam.trainers.torch import SAMTrainer

__all__ = ["SAMTrainer"]
