"""The variables of a number of members, stacked, and the programs that step them."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_sam import ascent_log
from keras_sam.backend import compiled, programs, read
from keras_sam.population.data import on_device
from keras_sam.population.elementwise import own_rates
from keras_sam.population.member_model import MemberModel

Tensor = Any
Prepare = Callable[[Any], Any]
Augment = Callable[[Any, Any], Any]


class Stack:
    """Holds `size` members at a time, as variables with one more axis.

    Args:
        model: What a member's step is a function of, built and compiled.
        size: How many members.
        loop: Whether a program computes them one after the other.
        one_step: Whether a program is one step.
        prepare: From raw rows to the network's inputs, or `None`.
        augment: From raw rows and draws to raw rows, or `None`.
    """

    def __init__(
        self,
        model: MemberModel,
        size: int,
        *,
        loop: bool,
        one_step: bool,
        prepare: Prepare | None,
        augment: Augment | None,
    ) -> None:
        self.model, self.size, self._loop = model, size, loop
        self._prepare, self._augment = prepare, augment
        self.weights = [self._stacked(v) for v in model.trainable_variables]
        self.state = [self._stacked(v) for v in model.own_state]
        self.metrics = [self._stacked(v) for v in model.metrics_variables]
        self.rho = keras.Variable(np.zeros(size), trainable=False, dtype="float32", name="rho")
        self.optimizer: Any = None
        self.rates: dict[str, keras.Variable] = {}
        self.holds: Any = None  # Whose values the variables have.
        self._one_step = one_step
        self._masks = self._mask_places()
        self._patterns: dict[str, Any] = {}
        self._names: list[str] = []
        self._train: Any = None
        # All that it reads, or JAX would compile it in.
        read_by_test = [*self.weights, *self.state, *self.metrics]
        self._test = programs.Repeated(self._test_step, read_by_test, one_step, any_shape=True)
        self._predict = compiled(self._predictions)
        self._result = compiled(self._results)

    def compile(self, optimizer: keras.optimizers.Optimizer, factor: bool, decay: bool) -> None:
        """Takes on an optimizer, and perhaps rates of each member's own."""
        own = {
            name: keras.Variable(np.ones(self.size), trainable=False, dtype="float32", name=name)
            for name, is_own in (("factor", factor), ("decay", decay))
            if is_own
        }
        self.base_decay = optimizer.weight_decay or 0.0
        own_rates(optimizer, own.get("factor"), own.get("decay"))
        optimizer.build(self.weights)
        self.optimizer, self.rates = optimizer, own
        self.start = [ops.convert_to_numpy(v) for v in optimizer.variables]
        self._train = programs.Repeated(self._train_step, self.variables, self._one_step)

    @property
    def variables(self) -> list[keras.Variable]:
        """All that belongs to the members that the stack holds."""
        own = [*self.weights, *self.state, *self.metrics, self.rho, *self.rates.values()]
        return own if self.optimizer is None else [*own, *self.optimizer.variables]

    def reset_metrics(self) -> None:
        """Lets the metrics start anew."""
        for stacked, variable in zip(self.metrics, self.model.metrics_variables, strict=True):
            start = ops.convert_to_numpy(variable)
            stacked.assign(np.broadcast_to(start, stacked.shape))

    def run(
        self, pool: Any, own_y: Any, rows: np.ndarray, draws: np.ndarray | None, training: bool
    ) -> None:
        """Steps on each of the batches, or adds an evaluation of each to the metrics.

        Args:
            pool: All examples, `(x, y, sample_weight)`.
            own_y: `(size, examples)`, in place of y, or `None`.
            rows: `(size, steps, batch)`.
            draws: `(size, steps, batch, ...)`, or `None`.
            training: Whether to train.
        """
        each = {"rows": rows.astype("int32")}
        if draws is not None:
            each["draws"] = draws
        each = {k: ops.convert_to_tensor(np.swapaxes(v, 0, 1)) for k, v in each.items()}
        (self._train if training else self._test)(_shared(pool, own_y), each)

    def predict(self, x: Any) -> Any:
        """Outputs of all members for the same inputs, with a leading axis of members."""
        flat = self._predict(x, [read(v) for v in self.weights], [read(v) for v in self.state])
        return tree.pack_sequence_as(self._patterns["outputs"], list(flat))

    def result(self, training: bool) -> dict[str, np.ndarray]:
        """What the metrics come to, an array of one value a member each."""
        values = self._result([read(v) for v in self.metrics])
        named = dict(zip(self._names, map(ops.convert_to_numpy, values), strict=True))
        if self.model.log_ascent and not training:
            named = {k: v for k, v in named.items() if k not in ascent_log.NAMES}
        return named

    def _train_step(self, shared: Any, each: Any) -> None:
        members = self._members(shared, each)
        members["rho"] = read(self.rho)

        def of_one(shared: Any, member: Any) -> list[Tensor]:
            results = self.model.member_step(
                *self._values(member), member["rho"], self._batch(shared, member)
            )
            return self._present("train", results)

        flat = programs.map_members(of_one, shared, members, self._loop)
        gradients, weights, state, metrics = self._restored("train", flat)
        for variables, values in (
            (self.state, state),
            (self.metrics, metrics),
            (self.weights, weights),
        ):
            _assign(variables, values)
        programs.apply(self.optimizer, gradients, self.weights)
        for weight, mask in self._masks:
            value = read(weight)
            weight.assign(ops.where(read(mask), value, ops.zeros_like(value)))

    def _test_step(self, shared: Any, each: Any) -> None:
        def of_one(shared: Any, member: Any) -> list[Tensor]:
            batch = self._batch(shared, member)
            return self._present("test", self.model.member_test(*self._values(member), batch))

        flat = programs.map_members(of_one, shared, self._members(shared, each), self._loop)
        _assign(self.metrics, self._restored("test", flat))

    def _predictions(self, x: Any, weights: list[Tensor], state: list[Tensor]) -> list[Tensor]:
        def of_one(x: Any, member: Any) -> list[Tensor]:
            inputs = x if self._prepare is None else self._prepare(x)
            outputs = self.model.member_predict(member["weights"], member["state"], inputs)
            self._patterns["outputs"] = tree.map_structure(lambda t: 0, outputs)
            return tree.flatten(outputs)

        return programs.map_members(of_one, x, {"weights": weights, "state": state}, self._loop)

    def _results(self, metrics: list[Tensor]) -> list[Tensor]:
        def of_one(shared: Any, member: Any) -> list[Tensor]:
            result = self.model.member_result(member)
            self._names = list(result)
            return list(result.values())

        return programs.map_members(of_one, (), metrics, loop=False)

    def _members(self, shared: Any, each: Any) -> dict[str, Any]:
        members = {
            "weights": [read(v) for v in self.weights],
            "state": [read(v) for v in self.state],
            "metrics": [read(v) for v in self.metrics],
            **each,
        }
        if "own_y" in shared:
            members["own_y"] = shared["own_y"]
        return members

    def _values(self, member: dict[str, Any]) -> tuple[Any, Any, Any]:
        return member["weights"], member["state"], member["metrics"]

    def _batch(self, shared: Any, member: dict[str, Any]) -> Any:
        rows = member["rows"]

        def taken(structure: Any) -> Any:
            return tree.map_structure(lambda t: ops.take(t, rows, axis=0), structure)

        x = taken(shared["x"])
        if self._augment is not None and "draws" in member:
            x = self._augment(x, member["draws"])
        if self._prepare is not None:
            x = self._prepare(x)
        y = taken(member["own_y"]) if "own_y" in member else None
        y = taken(shared["y"]) if y is None and "y" in shared else y
        weight = taken(shared["sample_weight"]) if "sample_weight" in shared else None
        return x, y, weight

    def _present(self, key: str, structure: Any) -> list[Tensor]:
        """The tensors of a nest, without what is `None`."""
        flat = tree.flatten(structure)
        self._patterns[key] = tree.map_structure(lambda t: t is not None, structure)
        return [ops.convert_to_tensor(t) for t in flat if t is not None]

    def _restored(self, key: str, flat: Sequence[Tensor]) -> Any:
        left = iter(flat)
        return tree.map_structure(
            lambda is_there: next(left) if is_there else None, self._patterns[key]
        )

    def _mask_places(self) -> list[tuple[keras.Variable, keras.Variable]]:
        masks, own_state = self.model.mask_variables, self.model.own_state
        places = {id(v): i for i, v in enumerate(own_state)}
        return [
            (weight, self.state[places[id(masks[v.path])]])
            for v, weight in zip(self.model.trainable_variables, self.weights, strict=True)
            if v.path in masks
        ]

    def _stacked(self, variable: keras.Variable) -> keras.Variable:
        dtype = keras.backend.standardize_dtype(variable.dtype)
        shape = (self.size, *variable.shape)
        value = np.zeros(shape, "float32" if dtype == "bfloat16" else dtype)
        return keras.Variable(value, dtype=dtype, trainable=variable.trainable, name=variable.name)


def _shared(pool: Any, own_y: Any) -> dict[str, Any]:
    """The data that members take their batches from, by name; without what there is none of."""
    x, y, sample_weight = pool
    shared = {"x": x, "y": y, "sample_weight": sample_weight, "own_y": on_device(own_y)}
    return {name: value for name, value in shared.items() if value is not None}


def _assign(variables: Sequence[keras.Variable], values: Sequence[Tensor | None]) -> None:
    for variable, value in zip(variables, values, strict=True):
        if value is not None:
            variable.assign(value)
