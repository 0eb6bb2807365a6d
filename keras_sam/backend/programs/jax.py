"""JAX: members by `jax.vmap` or `lax.map`, steps by `lax.scan`, devices by `shard_map`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import keras
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from keras_sam.memory import available_memory

Tensor = Any

# Weights a member up to which it is vectorised on a CPU. SAM steps of digits MLPs, 20 members, ms
# of processor time a member-step vectorised and looped: .059 .065 (2,370 weights), .101 .100
# (5,330), .173 .169 (13,050), .40 .38 (35,690), 1.42 1.25 (109,770). On accelerators always.
VECTORIZED = 20_000
_AXIS = "members"


def map_members(
    fn: Callable[[Any, Any], Any], shared: Any, members: Any, loop: bool
) -> list[Tensor]:
    """`fn(shared, member)` of each member, a list of tensors each, stacked along a first axis.

    Args:
        fn: A function that returns a list of tensors.
        shared: A nest of tensors that is the same for all.
        members: A nest of tensors with a first axis of members.
        loop: Whether one member is computed after the other.
    """
    count = jax.tree.leaves(members)[0].shape[0]

    def mapped(shared: Any, members: Any) -> list[Tensor]:
        def of_one(member: Any) -> list[Tensor]:
            return fn(shared, member)

        if jax.tree.leaves(members)[0].shape[0] == 1:
            only = of_one(jax.tree.map(lambda t: t[0], members))
            return [t[None] for t in only]
        return jax.lax.map(of_one, members) if loop else jax.vmap(of_one)(members)

    mesh = _mesh(count)
    if mesh is None:
        return mapped(shared, members)
    of_members = PartitionSpec(_AXIS)
    return jax.shard_map(
        mapped,
        mesh=mesh,
        in_specs=(PartitionSpec(), of_members),
        out_specs=of_members,
        check_vma=False,
    )(shared, members)


class Repeated:
    """A step for each of a number of inputs, as one program.

    Args:
        step: `(shared, each_t)`: reads and assigns variables, returns nothing.
        variables: All that it assigns.
        one_step: Whether the program is one step. On CPUs, XLA's convolutions inside a loop of a
            program run on one thread, four times slower than outside of one.
        any_shape: Whether it is compiled for several numbers of examples, and so less optimised:
            a third sooner on a CPU, and no slower where matrix products are what takes time.
    """

    def __init__(
        self,
        step: Callable[[Any, Any], None],
        variables: Sequence[keras.Variable],
        one_step: bool = False,
        any_shape: bool = False,
    ) -> None:
        self._variables = list(variables)
        self._one_step = one_step

        def values_after(values: list[Tensor], shared: Any, each: Any) -> list[Tensor]:
            mapping = list(zip(self._variables, values, strict=True))
            with keras.StatelessScope(state_mapping=mapping) as scope:
                step(shared, each)
            return [scope.get_current_value(v) for v in self._variables]

        def run(values: list[Tensor], shared: Any, each: Any) -> list[Tensor]:
            return jax.lax.scan(lambda v, x: (values_after(v, shared, x), None), values, each)[0]

        self._mesh = _mesh(self._variables[0].shape[0])
        self._placed: tuple[list[Any], Any] = ([], None)  # Data as they came, and on the devices.
        # Where they came from, or the second call would be compiled anew.
        places = None if self._mesh is None else [_sharding(self._mesh, v) for v in self._variables]
        lightly = any_shape and jax.default_backend() == "cpu"
        self._run = jax.jit(
            values_after if one_step else run,
            donate_argnums=0,
            out_shardings=places,
            compiler_options={"xla_backend_optimization_level": 1} if lightly else None,
        )

    def __call__(self, shared: Any, each: Any) -> None:
        values = [v.value for v in self._variables]
        mesh = self._mesh
        if mesh is not None:
            values = [_placed(value, _sharding(mesh, value)) for value in values]
            shared = self._shared_out(shared)
            of_steps = NamedSharding(mesh, PartitionSpec(None, _AXIS))
            each = jax.tree.map(lambda t: _placed(t, of_steps), each)
        # An array must not be donated twice, and a variable's first value may be another's.
        known: set[int] = set()
        for i, value in enumerate(values):
            if id(value) in known:
                values[i] = jax.numpy.copy(value)
            known.add(id(value))
        inputs = [each]
        if self._one_step:
            count = jax.tree.leaves(each)[0].shape[0]
            inputs = [jax.tree.map(lambda t, i=i: t[i], each) for i in range(count)]
        for one in inputs:
            values = self._run(values, shared, one)
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(value)

    def _shared_out(self, shared: Any) -> Any:
        """Data on the devices; those of the last call are there."""
        mesh, given = self._mesh, jax.tree.leaves(shared)
        assert mesh is not None
        before, placed = self._placed
        if len(given) != len(before) or any(a is not b for a, b in zip(given, before, strict=True)):
            on_all = NamedSharding(mesh, PartitionSpec())
            placed = {
                name: jax.tree.map(
                    lambda t, own=name == "own_y": _placed(
                        t, _sharding(mesh, t) if own else on_all
                    ),
                    nest,
                )
                for name, nest in shared.items()
            }
            self._placed = given, placed
        return placed


def apply(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[Tensor | None],
    weights: Sequence[keras.Variable],
) -> None:
    """Lets the optimizer step. `apply` itself may branch on values, which a trace cannot."""
    values = optimizer.stateless_apply(
        [v.value for v in optimizer.variables], list(gradients), [v.value for v in weights]
    )
    for variables, new in zip((weights, optimizer.variables), values, strict=True):
        for variable, value in zip(variables, new, strict=True):
            variable.assign(value)


@contextmanager
def run_once() -> Iterator[None]:
    """Leaves unoptimised what a CPU compiles inside: of what runs once, compiling takes the time.

    The initial weights of a perceptron with 2,370 weights: .6 s in place of 2.1, the same numbers.
    """
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", before or jax.default_backend() == "cpu")
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


def is_vectorized(weights: int, convolutional: bool) -> bool:
    """Whether members with so many weights each are computed at once."""
    return jax.default_backend() != "cpu" or (weights <= VECTORIZED and not convolutional)


def steps_apart(convolutional: bool) -> bool:
    """Whether a program is one step of one member."""
    return jax.default_backend() == "cpu" and convolutional


def padded(count: int) -> int:
    """So many members, and as many more as leave no device with fewer than another."""
    used, each = _shares(count)
    return used * each


def devices() -> int:
    """Over how many devices members are shared out; 1 where Keras has a distribution of its own."""
    distributed = keras.distribution.distribution() is not None or jax.process_count() > 1
    return 1 if distributed else jax.device_count()


def free_memory() -> int:
    """Bytes that arrays may still take."""
    free = []
    for device in jax.local_devices():
        stats = device.memory_stats() if device.platform != "cpu" else None
        if not stats or "bytes_limit" not in stats:
            return available_memory()
        free.append(stats["bytes_limit"] - stats["bytes_in_use"])
    return int(np.sum(free))


def _shares(count: int) -> tuple[int, int]:
    """How many devices so many members take, and how many each of these gets."""
    each = -(-count // devices())
    return -(-count // each), each


def _mesh(count: int) -> Mesh | None:
    """The devices that share so many members; `None` where it is one."""
    used, each = _shares(count)
    if used == 1 or used * each != count:
        return None
    return jax.make_mesh(
        (used,), (_AXIS,), (jax.sharding.AxisType.Auto,), devices=jax.devices()[:used]
    )


def _sharding(mesh: Mesh, stacked: Any) -> NamedSharding:
    """Where a stack over members belongs; what is no stack, such as a number of steps, is on all
    devices."""
    return NamedSharding(mesh, PartitionSpec(*[_AXIS][: len(stacked.shape)]))


def _placed(tensor: Any, sharding: NamedSharding) -> Tensor:
    if isinstance(tensor, jax.Array) and tensor.sharding.is_equivalent_to(sharding, tensor.ndim):
        return tensor
    # By way of the host: from device to device JAX compiles a program for each shape.
    return jax.device_put(np.asarray(tensor), sharding)
