"""SAMTrainer of the backend in use, apart from the primitives that the algorithm itself imports."""

import keras

if keras.backend.backend() == "tensorflow":
    from keras_sam.backend.tensorflow_trainer import SAMTrainer
elif keras.backend.backend() == "jax":
    from keras_sam.backend.jax_trainer import SAMTrainer
else:
    from keras_sam.backend.torch_trainer import SAMTrainer

__all__ = ["SAMTrainer"]
