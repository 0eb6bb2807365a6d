"""The cellar: derivatives and the like of the framework in use, which follows from Keras's backend.

Besides `keras_sam/trainers/` the only place that names a framework. One module a framework, all
with the same names:

    value_and_grad(fn)    fn(values, *args) -> (loss, aux); returns ((loss, aux), gradients)
    hessian_vector_product(fn)    fn as above; returns products(values, vectors, *args)
    vectorized_map(fn, elements)  fn of each element, at once; one by one where that is impossible
    compiled(fn)          fn, traced or compiled once for all calls of the same shapes
    dense(tensor)         a gradient as an ordinary tensor
    read(variable)        a variable's present value, which a gradient may be taken at
    branch(predicate, true_fn, false_fn)    one of the two, as the scalar tensor says
    repeatable(fn)        fn, whose calls all draw the same random numbers
"""

import importlib

import keras

if keras.backend.backend() not in ("tensorflow", "jax", "torch"):
    raise ImportError(
        "keras_sam runs on the Keras backends 'tensorflow', 'jax' and 'torch'. Set the environment "
        "variable KERAS_BACKEND before Keras is imported. "
        f"Received: `keras.backend.backend()={keras.backend.backend()!r}`"
    )
framework = importlib.import_module(f"{__name__}.{keras.backend.backend()}")

value_and_grad = framework.value_and_grad
hessian_vector_product = framework.hessian_vector_product
vectorized_map = framework.vectorized_map
compiled = framework.compiled
dense = framework.dense
read = framework.read
branch = framework.branch
repeatable = framework.repeatable
