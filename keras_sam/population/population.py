"""Population: many networks of one architecture trained as one model, with SAM or without."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import tree

from keras_sam.population.cohort import Cohort
from keras_sam.population.data import (
    all_rows,
    batches_of,
    checked,
    in_order,
    of_places,
    on_device,
    own_order,
)
from keras_sam.population.elementwise import optimizer_maker
from keras_sam.population.member import Member
from keras_sam.population.stack import Augment, Prepare
from keras_sam.validation import boolean, integer

Values = dict[str, np.ndarray]


class Population:
    """Trains members of one architecture as one model, whose weights have one more axis.

    A member's step is SAMModel's, mapped over that axis inside of one program: weights, batches,
    batch statistics, random states and metrics are its own, and come out as if it had been trained
    alone, to rounding. Small members are computed at once, large ones (on a CPU from tens of
    thousands of weights on, or with convolutions) one after the other inside of the program, in
    chunks that the memory has room for; those of rho 0 apart from the others, in one pass. On JAX
    members are shared out over all devices.

    Args:
        build: From a seed, an int, to a new `keras.Model`, built, whose initial weights and random
            states the seed alone fixes. Called once for each seed, and for each kind of member.
        members: What differs: a sequence of `Member`.
        prepare: From a batch of raw rows to the network's inputs, in `keras.ops`, inside of the
            program. Defaults to `None`, the rows themselves.
        augment: From a batch of raw rows and its `draws` to raw rows, where there are draws.
            Defaults to `None`.
        chunk: How many members one program holds. Defaults to `None`, what the memory has room for.
        vectorize: Whether members are computed at once. Defaults to `None`, by their size.
        **options: Those of SAMModel that all members share: `method`, `normalize`, `adaptive`,
            `perturb`, `geometry`, `eta`, `ascent_steps`, `num_batch_splits`, `log_ascent`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If there is no member, two are equal in everything, or the networks are of
            several architectures.

    Example:

    >>> import keras, numpy as np
    >>> def build(seed):
    ...     kernel = keras.initializers.GlorotUniform(seed=seed)
    ...     dense = keras.layers.Dense(3, kernel_initializer=kernel)
    ...     return keras.Sequential([keras.Input((4,)), dense])
    >>> members = [Member(seed, rho) for seed in range(2) for rho in (0.0, 0.05)]
    >>> population = Population(build, members)
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> population.compile("sgd", loss, metrics=["accuracy"])
    >>> x, y = np.ones((10, 4), "float32"), np.zeros(10, "int32")
    >>> history = population.fit(x, y, batch_size=4, epochs=3, verbose=0)
    >>> history["loss"].shape  # epochs, members
    (3, 4)
    >>> population.predict(x).shape
    (4, 10, 3)
    >>> population.network(1).count_params()  # an ordinary network, that of Member(0, 0.05)
    15

    References:
        - Foret et al. 2021, https://arxiv.org/abs/2010.01412, algorithm 1
    """

    def __init__(
        self,
        build: Callable[[int], keras.Model],
        members: Sequence[Member],
        *,
        prepare: Prepare | None = None,
        augment: Augment | None = None,
        chunk: int | None = None,
        vectorize: bool | None = None,
        **options: Any,
    ) -> None:
        self._cohort = Cohort(build, prepare, augment, chunk, vectorize, options)
        self._cohort.set_members(members)
        self._epoch = 0

    @property
    def members(self) -> tuple[Member, ...]:
        """The members, in the order of all that has a value for each."""
        return self._cohort.members

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
    ) -> None:
        """Configures the training, as `keras.Model.compile`. Optimizers start anew.

        Args:
            optimizer: A Keras optimizer that treats every entry of a weight by itself (SGD, Adam,
                AdamW, RMSprop, Lion, Adagrad, Adadelta, Adamax, Nadam, Ftrl,
                `keras_sam.optimizers.SGD`), its name, or a function that makes one.
            loss: As in Keras, like all that follow.

        Raises:
            ValueError: If the optimizer looks across a weight, which would mix members.
        """
        arguments = {
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
        }
        self._cohort.compile(optimizer_maker(optimizer), arguments)

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        epochs: int = 1,
        validation_data: Any = None,
        shuffle: bool = True,
        verbose: int | str = "auto",
        sample_weight: Any = None,
    ) -> Values:
        """Trains all members on the same examples, each in an order of its seed's own.

        In its e-th epoch, counted over all calls, a member sees the examples in the order
        `numpy.random.default_rng([seed, e]).permutation(examples)`.

        Args:
            x: Inputs, an array or a nest of arrays, all in memory.
            y: Targets. Defaults to `None`.
            batch_size: Examples in a batch; the last one may be smaller. Defaults to 32.
            epochs: Passes over the examples. Defaults to 1.
            validation_data: `(x, y)` or `(x, y, sample_weight)`, evaluated after each epoch.
                Defaults to `None`.
            shuffle: Whether the order is a new one in each epoch. Defaults to `True`.
            verbose: 0 for silence; otherwise a line an epoch. Defaults to "auto".
            sample_weight: One weight an example. Defaults to `None`.

        Returns:
            From each name in the logs, as in Keras, to an array of shape (epochs, members).

        Raises:
            ValueError: If `batch_size` is above the number of examples, arrays are of different
                lengths, or the members need more memory than there is.
        """
        epochs = integer("epochs", epochs, 1)
        boolean("shuffle", shuffle)
        examples = checked(x, y, sample_weight, batch_size)
        x, y, sample_weight = on_device((x, y, sample_weight))
        if validation_data is not None:
            checked(*validation_data)
            validation_data = on_device(validation_data)
        history: dict[str, list[np.ndarray]] = {}
        for _ in range(epochs):
            rows = np.stack(
                [own_order(m.seed, self._epoch, examples, shuffle) for m in self.members]
            )
            logs = self.train_epoch(x, y, rows, batch_size=batch_size, sample_weight=sample_weight)
            if validation_data is not None:
                logs |= {f"val_{k}": v for k, v in self.evaluate(*validation_data).items()}
            for name, values in logs.items():
                history.setdefault(name, []).append(values)
            if verbose:
                means = "  ".join(f"{k} {np.mean(v):.4f}" for k, v in logs.items())
                print(f"Epoch {self._epoch}: {means} (means over members)", flush=True)
        return {name: np.stack(values) for name, values in history.items()}

    def train_epoch(
        self,
        x: Any,
        y: Any,
        order: np.ndarray,
        *,
        batch_size: int | None = None,
        draws: np.ndarray | None = None,
        own_y: Any = None,
        sample_weight: Any = None,
    ) -> Values:
        """Trains on batches that are given as row numbers, which may differ from member to member.

        Args:
            x: A pool of raw examples. Tensors stay where they are.
            y: Their targets, or `None` where each member has its own.
            order: Row numbers, ints (members, steps, batch); with `batch_size`, (members, n).
            batch_size: Examples in a batch; the last one may be smaller. Defaults to `None`.
            draws: Ints of the order's shape and more, for `augment`. Defaults to `None`.
            own_y: Targets of each member's own, (members, examples, ...). Defaults to `None`.
            sample_weight: One weight an example. Defaults to `None`.

        Returns:
            From each name in the logs to an array of one value a member.
        """
        order = np.asarray(order)
        if order.ndim != (3 if batch_size is None else 2) or len(order) != len(self.members):
            raise ValueError(
                "`order` must be of shape (members, steps, batch), with `batch_size` (members, n), "
                f"with {len(self.members)} members. Received: `order` of shape {order.shape}"
            )
        drawn = None if draws is None else batches_of(np.asarray(draws), batch_size)
        pool = on_device((x, y, sample_weight))
        return self._pass(pool, batches_of(order, batch_size), drawn, own_y, training=True)

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        batch_size: int = 256,
        rows: np.ndarray | None = None,
        draws: np.ndarray | None = None,
        own_y: Any = None,
    ) -> Values:
        """Loss and metrics of each member.

        Args:
            x: Raw examples.
            y: Their targets. Defaults to `None`.
            sample_weight: One weight an example. Defaults to `None`.
            batch_size: Examples in a batch. Defaults to 256.
            rows: The rows that each member is evaluated on, (members, n). Defaults to `None`, all.
            draws: For `augment`, (members, n, ...). Defaults to `None`, nothing is augmented.
            own_y: As in `train_epoch`. Defaults to `None`.

        Returns:
            From each name to an array of one value a member.
        """
        pool = on_device((x, y, sample_weight))
        rows = all_rows(pool, len(self.members)) if rows is None else np.asarray(rows, "int32")
        drawn = None if draws is None else batches_of(np.asarray(draws), batch_size)
        return self._pass(pool, batches_of(rows, batch_size), drawn, own_y, training=False)

    def predict(self, x: Any, batch_size: int = 256) -> Any:
        """The outputs of all members for the same inputs.

        Args:
            x: Raw inputs.
            batch_size: Examples in a batch. Defaults to 256.

        Returns:
            NumPy arrays as the network's outputs, with a leading axis of members.
        """
        x = on_device(x)
        parts = []
        for start in range(0, len(tree.flatten(x)[0]), integer("batch_size", batch_size, 1)):
            batch = tree.map_structure(lambda t, a=start: t[a : a + batch_size], x)
            chunks = self._cohort.any_chunks()
            parts.append(in_order([(c.places, c.own(c.load().predict(batch))) for c in chunks]))
        return tree.map_structure(lambda *t: np.concatenate(t, axis=1), *parts)

    def network(self, i: int) -> keras.Model:
        """A new network of member i as it is now: what `build` makes, with trained weights."""
        return self._cohort.network(range(len(self.members))[i])

    def learning_rate(self) -> np.ndarray:
        """The present learning rate of each member."""
        return self._cohort.learning_rates()

    def restart(self, members: Sequence[Member]) -> None:
        """Begins anew with other members, by the same programs if there are as many."""
        self._cohort.set_members(members)
        self._epoch = 0

    def states(self) -> dict[str, np.ndarray]:
        """All that training goes on from, by name, for `set_states`."""
        return {**self._cohort.states(), "epoch": np.array(self._epoch)}

    def set_states(self, states: Mapping[str, np.ndarray]) -> None:
        """Goes back to where `states` was called, in a population of the same members."""
        self._epoch = int(states["epoch"])
        self._cohort.set_states({k: v for k, v in states.items() if k != "epoch"})

    def _pass(self, pool: Any, batches: Any, draws: Any, own_y: Any, training: bool) -> Values:
        results = []
        draws = draws or [None] * len(batches)
        for chunk in self._cohort.chunks(pool, batches[0], draws[0], own_y):
            stack = chunk.load()
            stack.reset_metrics()
            for rows, drawn in zip(batches, draws, strict=True):
                own, rows, drawn = of_places((own_y, rows, drawn), chunk.filled)
                stack.run(pool, own, rows, drawn, training)
            results.append((chunk.places, chunk.own(stack.result(training))))
        self._epoch += training
        return in_order(results)
