"""A member's step as a pure function: that of SAMModel, but for the optimizer's part of it."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_sam.backend import keras_internals
from keras_sam.batches import count_examples
from keras_sam.loss_function import Batch, compute_loss, state_variables
from keras_sam.sam_model import SAMModel

Tensor = Any
Values = list[Tensor]


class MemberModel(SAMModel):
    """A SAMModel whose variables stand for those of each of many members in turn.

    Its functions take the values of `trainable_variables`, of `own_state` and of
    `metrics_variables`, and return new ones, `None` where they stay. No variable changes.

    Args:
        network: A member's network.
        rho: 0, or what is not 0; the number itself is not used.
        **options: Those of SAMModel.
    """

    rho_may_vanish = False

    def __init__(self, network: keras.Model, rho: float, **options: Any) -> None:
        super().__init__(network, rho, **options)
        self._take: Callable[[list[Tensor | None]], None] | None = None

    @property
    def own_state(self) -> list[keras.Variable]:
        """All state but that of metrics."""
        metrics = {id(v) for v in self.metrics_variables}
        return [v for v in state_variables(self) if id(v) not in metrics]

    def member_step(
        self, weights: Values, state: Values, metrics: Values, rho: Tensor, batch: Batch
    ) -> tuple[list[Tensor | None], list[Tensor | None], list[Tensor | None], list[Tensor | None]]:
        """The gradients for the optimizer, and new weights (where a layer assigns some), state
        and metrics."""
        own_state, before = self.own_state, self._rho
        handed: list[Any] = []

        def take(gradients: list[Tensor | None]) -> None:
            handed[:] = [gradients, _changed(self.trainable_variables, weights)]

        self._take = take
        if before != 0:
            self._rho = rho
        try:
            with self._scope(own_state, weights, state, metrics):
                self.sam_step(batch)
                new_state = _changed(own_state, state)
                new_metrics = _changed(self.metrics_variables, metrics)
        finally:
            self._rho, self._take = before, None
        if len(self.own_state) > len(own_state):
            raise ValueError(
                "`build` must make networks whose training pass assigns nothing but variables that "
                "Keras tracks. Received: one that assigns "
                f"{[v.path for v in self.own_state[len(own_state) :]]}"
            )
        return *handed, new_state, new_metrics

    def member_test(
        self, weights: Values, state: Values, metrics: Values, batch: Batch
    ) -> list[Tensor | None]:
        """New metrics, after an evaluation of a batch."""
        x, y, sample_weight = batch
        with self._scope(self.own_state, weights, state, metrics):
            y_pred = self(x, training=False)
            loss = compute_loss(self, x, y, y_pred, sample_weight, training=False)
            tracker = keras_internals.loss_tracker(self)
            if tracker is not None:
                tracker.update_state(loss, sample_weight=count_examples(x, y))
            self.compute_metrics(x, y, y_pred, sample_weight)
            return _changed(self.metrics_variables, metrics)

    def member_predict(self, weights: Values, state: Values, x: Any) -> Any:
        """The outputs."""
        with self._scope(self.own_state, weights, state, None):
            return self(x, training=False)

    def member_result(self, metrics: Values) -> dict[str, Tensor]:
        """What the metrics come to, by name."""
        mapping = list(zip(self.metrics_variables, metrics, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return {k: ops.convert_to_tensor(v) for k, v in self.get_metrics_result().items()}

    def _scope(
        self,
        own_state: Sequence[keras.Variable],
        weights: Values,
        state: Values,
        metrics: Values | None,
    ) -> keras.StatelessScope:
        mapping = [
            *zip(self.trainable_variables, weights, strict=True),
            *zip(own_state, state, strict=True),
        ]
        if metrics is not None:
            mapping += zip(self.metrics_variables, metrics, strict=True)
        return keras.StatelessScope(state_mapping=mapping)

    def _apply_gradients(self, gradients: list[Tensor | None]) -> None:
        assert self._take is not None
        self._take(gradients)


def _changed(variables: Sequence[keras.Variable], values: Values) -> list[Tensor | None]:
    """The variables' values inside a scope, `None` where they are still those given."""
    present = keras_internals.present_scope()
    assert present is not None
    now = [present.get_current_value(v) for v in variables]
    return [None if a is b else a for a, b in zip(now, values, strict=True)]
