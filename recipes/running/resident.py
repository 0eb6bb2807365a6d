"""Several steps of training in one program, on data that lie in the device's memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_sam import SAMModel
from keras_sam.backend import compiled, keras_internals
from recipes.datasets.arrays import ArrayData
from recipes.datasets.batches import fed

# Numbers in an evaluation set up to which it is one batch.
_ONE_BATCH = 250_000

# What a program is told: the rows of each batch and, where there is an augmentation, its draws.
Plan = dict[str, np.ndarray]


class ResidentModel(SAMModel):
    """A SAMModel that knows its data, and whose `fit` takes several steps at a time.

    The "batches" that `fit` is given are plans of `steps` steps each: integers that say which
    examples a batch holds. The program of a plan gathers, augments and prepares each batch on the
    device and takes one SAM step after the other; no Python and no input stands between them.

    Args:
        data: What to train on.
        *arguments: Those of `SAMModel`.
        **keywords: Likewise.

    Example:

    ```python
    model = ResidentModel(data, network, rho=0.05)
    model.compile("sgd", loss, metrics=["accuracy"])
    model.build_programs(steps=data.steps_per_epoch)
    model.fit(model.plans(initial_epoch=0), steps_per_epoch=model.plans_per_epoch, epochs=3)
    model.evaluation("test")
    ```
    """

    def __init__(self, data: ArrayData, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.feed = Feed(data)
        self.steps = 1

    def build_programs(self, steps: int) -> None:
        """Prepares a compiled model for plans of so many steps, a divisor of those of an epoch."""
        self.steps = steps
        data = self.feed.data
        labels = data.arrays["train"][1]
        x = keras.KerasTensor((data.batch_size, *data.input_shape), "float32")
        y = keras.KerasTensor((data.batch_size, *labels.shape[1:]), labels.dtype.name)
        # No variable can be created inside a loop of a program.
        keras_internals.build_from_batch(self, (x, y, None))

    @property
    def plans_per_epoch(self) -> int:
        """What `fit` takes for steps."""
        return self.feed.data.steps_per_epoch // self.steps

    def plans(self, initial_epoch: int) -> Any:
        """An endless dataset of plans for `fit`, from the beginning of an epoch."""
        count = self.plans_per_epoch

        def plan_at(index: int) -> tuple[dict[str, Any]]:
            whole = self.feed.epoch(initial_epoch + index // count)
            first = index % count * self.steps
            plan = {key: array[first : first + self.steps] for key, array in whole.items()}
            return (self.feed.complete("train", plan),)

        signature = keras.tree.map_structure(
            lambda array: keras.KerasTensor(array.shape, array.dtype.name), plan_at(0)
        )
        return fed(plan_at, None, signature)

    def train_step(self, *arguments: Any) -> Any:
        *state, (plan,) = arguments
        step = super().train_step
        return self._loop(lambda *of: step(*of), "train", state, plan)

    def evaluation(self, part: str) -> dict[str, float]:
        """Loss and metrics on "validation" or "test", as `evaluate` computes them."""
        return self._evaluated(part, self.feed.in_order(part, self.steps > 1))

    def training_evaluation(self, epoch: int) -> dict[str, float]:
        """Loss and metrics on the batches of an epoch, augmented as in training."""
        whole = self.feed.epoch(epoch)
        size = len(whole["rows"]) if self.steps > 1 else 1
        plans = (
            {key: array[first : first + size] for key, array in whole.items()}
            for first in range(0, len(whole["rows"]), size)
        )
        return self._evaluated("train", plans)

    def examples_to_split(self, examples: int) -> int:
        return super().examples_to_split(self.feed.data.batch_size)

    def _evaluated(self, part: str, plans: Iterator[Plan]) -> dict[str, float]:
        self.reset_metrics()
        state = _test_state(self)
        logs: dict[str, Any] = {}
        for plan in plans:
            program = self._test_program(part, plan["rows"].shape)
            logs, *state = program(*state, self.feed.complete(part, plan))
        self.reset_metrics()
        return {key: float(ops.convert_to_numpy(value)) for key, value in logs.items()}

    def _test_program(self, part: str, shape: tuple[int, ...]) -> Any:
        def program(*arguments: Any) -> Any:
            *state, plan = arguments
            outcome = self._loop(self.test_step, part, state, plan)
            return outcome if state else (outcome,)

        return self.feed.programs.setdefault((part, shape), compiled(program))

    def _loop(self, step: Any, part: str, state: list[Any], plan: dict[str, Any]) -> Any:
        """Takes the steps of a plan, by JAX's protocol if there is a state, and by Keras's else."""
        feed = self.feed
        count = plan["rows"].shape[0]
        if count == 1:
            return step(*state, feed.batch(part, plan, 0))
        if not state:

            def take(index: Any, carry: Any) -> Any:
                step(feed.batch(part, plan, index))
                return carry

            ops.fori_loop(0, count, take, 0)
            return self.get_metrics_result()

        def follow(carry: Any, index: Any) -> Any:
            logs, carry = step(carry, feed.batch(part, plan, index))
            return carry, logs

        new_state, logs = ops.scan(follow, state[0], ops.arange(count))
        return {key: values[-1] for key, values in logs.items()}, new_state


class Feed:
    """Examples in the device's memory, and plans of what to do with them.

    Args:
        data: The examples.

    Attributes:
        programs: The compiled evaluations, by part and shape.
    """

    def __init__(self, data: ArrayData) -> None:
        self.data = data
        self.programs: dict[Any, Any] = {}
        self._variables = {
            part: tuple(_variable(array) for array in arrays)
            for part, arrays in data.arrays.items()
        }

    def replace(self, data: ArrayData) -> None:
        """Goes over to other data of the same shapes and the same kind."""
        if data is self.data:
            return
        self.data = data
        for part, variables in self._variables.items():
            for variable, array in zip(variables, data.arrays[part], strict=True):
                variable.assign(array)

    def epoch(self, epoch: int) -> Plan:
        """The plan of an epoch of training."""
        plan = {"rows": self.data.order(epoch)}
        return plan if self.data.draws is None else {**plan, "draws": self.data.draws(epoch)}

    def in_order(self, part: str, loops: bool) -> Iterator[Plan]:
        """Plans of one pass over a part: as few as can be, or one a batch."""
        inputs, labels = self.data.arrays[part]
        small = inputs.size <= _ONE_BATCH
        size = len(labels) if small else self.data.batch_size
        rows = np.arange(len(labels), dtype=np.int32)
        full = len(labels) // size
        whole = rows[: full * size].reshape(full, size)
        yield from ({"rows": batches} for batches in ([whole] if loops else whole[:, None]))
        if len(labels) % size:
            yield {"rows": rows[None, full * size :]}

    def complete(self, part: str, plan: Plan) -> dict[str, Any]:
        """The plan as a program takes it: on JAX, what a program reads must be handed to it."""
        if keras.backend.backend() != "jax":
            return plan
        return {**plan, "arrays": tuple(variable.value for variable in self._variables[part])}

    def batch(self, part: str, plan: dict[str, Any], step: Any) -> tuple[Any, Any]:
        """The inputs and labels of a step of a plan."""
        inputs, labels = plan.get("arrays", self._variables[part])
        rows = plan["rows"][step]
        x = ops.take(inputs, rows, axis=0)
        if "draws" in plan:
            assert self.data.augment is not None
            x = self.data.augment(x, plan["draws"][step])
        return self.data.prepare(x), ops.take(labels, rows, axis=0)


def _variable(array: np.ndarray) -> keras.Variable:
    return keras.Variable(array, trainable=False, dtype=array.dtype.name)


def _test_state(model: keras.Model) -> list[Any]:
    """What `test_step` is given besides the batch: on JAX the values of all that it reads."""
    if keras.backend.backend() != "jax":
        return []
    groups = (model.trainable_variables, model.non_trainable_variables, model.metrics_variables)
    return [tuple([variable.value for variable in group] for group in groups)]
