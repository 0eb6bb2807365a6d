"""The cellar: derivatives and the like of the framework in use, which follows from Keras's backend.

Besides `keras_sam/trainers/` the only place that names a framework. One module a framework, all
with the same names:

    value_and_grad(fn, own)  fn(values, *args) -> (loss, aux); returns ((loss, aux), gradients);
                          refuses an fn that reads one of the variables `own` itself
    in_place(fn, weights, state)  fn() and its gradient as Keras's own training takes it, by the
                          variables' own values; `state` is what fn may assign
    hessian_vector_product(fn)    fn as above; returns products(values, vectors, *args)
    vectorized_map(fn, elements)  fn of each element, at once; one by one where that is impossible
    compiled(fn)          fn, traced or compiled once for all calls of the same shapes
    dense(tensor)         a gradient as an ordinary tensor
    is_dense(tensor)      whether it is an ordinary tensor
    same_rows(tensors, batch)  how many rows the tensors have, and the batch
    read(variable)        a variable's present value, which a gradient may be taken at
    branch(predicate, true_fn, false_fn)    one of the two, as the scalar tensor says
    repeatable(fn)        fn, whose calls all draw the same random numbers
    ASSIGNS_IN_PLACE      whether Keras's own training assigns variables as a pass goes on
    assigned(old, new)    what a pass goes on with after it has assigned a trainable weight
    stateless_modules()   where what is not Keras's own computes by `StatelessScope` too
    module_state(model)   variables for what layers keep that is no variable of Keras
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
in_place = framework.in_place
hessian_vector_product = framework.hessian_vector_product
vectorized_map = framework.vectorized_map
compiled = framework.compiled
dense = framework.dense
is_dense = framework.is_dense
same_rows = framework.same_rows
read = framework.read
branch = framework.branch
repeatable = framework.repeatable
ASSIGNS_IN_PLACE = framework.ASSIGNS_IN_PLACE
assigned = framework.assigned
stateless_modules = framework.stateless_modules
module_state = framework.module_state
