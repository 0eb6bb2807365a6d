"""Many members and many steps as one program: one module a framework, all with the same names.

map_members(fn, shared, members, loop)  fn(shared, member) of each member, stacked
Repeated(step, variables, one_step)     a callable (shared, each) that takes step(shared, each_t)
                                        for every t, and leaves the variables where that leads
apply(optimizer, gradients, weights)    lets an optimizer step, inside of such a step
run_once()                              a context for what is computed once, which compiles sooner
is_vectorized(weights, convolutional)   whether members of a size are computed at once
steps_apart(convolutional)              whether a program is to be one step of one member
padded(count)                           so many members, and what fills up the last device
devices()                               over how many devices members are shared out
free_memory()                           bytes that arrays may still take on the device
"""

import importlib

import keras

framework = importlib.import_module(f"{__name__}.{keras.backend.backend()}")

map_members = framework.map_members
Repeated = framework.Repeated
apply = framework.apply
run_once = framework.run_once
is_vectorized = framework.is_vectorized
steps_apart = framework.steps_apart
padded = framework.padded
devices = framework.devices
free_memory = framework.free_memory
