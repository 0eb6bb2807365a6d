"""The only place that names a framework. Which one is used follows from Keras's own backend.

One module a framework, all with the same names:

    value_and_grad(fn)    fn(values, *args) -> (loss, aux); returns ((loss, aux), gradients)
    hessian_vector_product(fn)    fn as above; returns products(values, vectors, *args)
    vectorized_map(fn, elements)  fn of each element, at once; one by one where that is impossible
    compiled(fn)          fn, traced or compiled once for all calls of the same shapes
    dense(tensor)         a gradient as an ordinary tensor
    read(variable)        a variable's present value, which a gradient may be taken at
    repeatable(fn)        fn, whose calls all draw the same random numbers

and one trainer a framework: `SAMTrainer`, the part of SAMModel that drives Keras's training step.
"""

import keras

if keras.backend.backend() == "tensorflow":
    from keras_sam.backend.tensorflow import (
        compiled,
        dense,
        hessian_vector_product,
        read,
        repeatable,
        value_and_grad,
        vectorized_map,
    )
elif keras.backend.backend() == "jax":
    from keras_sam.backend.jax import (
        compiled,
        dense,
        hessian_vector_product,
        read,
        repeatable,
        value_and_grad,
        vectorized_map,
    )
elif keras.backend.backend() == "torch":
    from keras_sam.backend.torch import (
        compiled,
        dense,
        hessian_vector_product,
        read,
        repeatable,
        value_and_grad,
        vectorized_map,
    )
else:
    raise ImportError(
        "keras_sam runs on the Keras backends 'tensorflow', 'jax' and 'torch'. Set the environment "
        "variable KERAS_BACKEND before Keras is imported. "
        f"Received: `keras.backend.backend()={keras.backend.backend()!r}`"
    )

__all__ = [
    "compiled",
    "dense",
    "hessian_vector_product",
    "read",
    "repeatable",
    "value_and_grad",
    "vectorized_map",
]
