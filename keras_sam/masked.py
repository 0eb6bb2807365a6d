"""A model with pruning masks, and what its files hold besides weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_sam.backend import keras_internals
from keras_sam.masks import Masks, check_masks, packed, places, unpacked
from keras_sam.trainers import SAMTrainer

MASK = "mask_of_"
MASKS = "masks"  # In a config.


class Masked(SAMTrainer):
    """Adds `masks` to a trainer, and saves them and the random seeds, which Keras stores not."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._masks: Any = None  # A Masks layer, once there are masks.
        self._expected_masks: dict[str, np.ndarray] = {}

    @property
    def masks(self) -> dict[str, np.ndarray]:
        """The pruning masks: from `variable.path` to a boolean array, `True` where kept."""
        self.sync_variables()
        self._take_expected_masks()
        return {path: ops.convert_to_numpy(mask) for path, mask in self.mask_variables.items()}

    @masks.setter
    def masks(self, masks: Mapping[str, Any] | Sequence[Any]) -> None:
        if not self.built:
            raise ValueError(
                "`masks` need a built model, whose weights exist: call it on a batch first. "
                f"Received: a model that is not built, {self.name!r}"
            )
        checked = check_masks(masks, self.trainable_variables, self._own_weights())
        self.sync_variables()
        before = self.mask_variables.keys()
        if self._masks is None:
            keras_internals.attach(self, "_masks", Masks())
        with self.creation_scope():
            self._masks.set(checked, self._own_weights())
        if self.mask_variables.keys() != before:
            self.renew_train_function()

    @property
    def mask_variables(self) -> dict[str, keras.Variable]:
        """From the path of each masked weight to its boolean mask variable."""
        return {} if self._masks is None else self._masks.of(self._own_weights())

    def masks_config(self) -> dict[str, Any]:
        """The masks as part of a config. In a file they stand with the weights."""
        if self._masks is None or keras_internals.is_saving():
            return {}
        where = places(self._own_weights())
        return {MASKS: {where[path]: packed(mask) for path, mask in self.masks.items()}}

    def expect_masks(self, config: Mapping[str, Any]) -> None:
        """Takes on the masks of a config, at once or when the weights exist."""
        self._expected_masks = {place: unpacked(mask) for place, mask in config.items()}
        self._take_expected_masks()

    def build_from_config(self, config: dict[str, Any]) -> None:
        super().build_from_config(config)
        self._take_expected_masks()

    def _symbolic_build(self, *args: Any, **kwargs: Any) -> None:
        # Keras hook, called before steps.
        super()._symbolic_build(*args, **kwargs)
        self._take_expected_masks()

    def _take_expected_masks(self) -> None:
        if self._expected_masks and self.built and self.trainable_variables:
            masks, self._expected_masks = self._expected_masks, {}
            self.masks = self._by_path(masks)

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains the model, with the arguments of `keras.Model.fit`."""
        history = super().fit(*args, **kwargs)
        if self._masks is not None:
            self._masks.apply(
                self.trainable_variables
            )  # An optimizer with `use_ema` has just put averages in place.
        return history

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        where = places(self._own_weights())
        for path, mask in self.masks.items():
            store[MASK + where[path]] = mask
        for index, seed in enumerate(self._seeds()):
            store[f"seed_{index}"] = ops.convert_to_numpy(seed)

    def load_own_variables(self, store: Any) -> None:
        stored = {key: store[key] for key in store.keys()}  # noqa: SIM118 - it is no dict
        masks = self._placed(stored)
        seeds = _take(stored, "seed_")
        super().load_own_variables(stored)
        if masks or self.mask_variables:
            self.masks = masks
        for index, seed in enumerate(self._seeds()):
            if index in seeds:
                seed.assign(np.asarray(seeds[index]))
        if self.compiled and self.optimizer is not None and not self.optimizer.built:
            # Keras would skip the state of an optimizer that has not taken a step yet, and a
            # restored run would go on without its momentum.
            with self.creation_scope():
                self.optimizer.build(self.trainable_variables)

    def renew_train_function(self) -> None:
        """Traces the training step anew at its next call: something constant in it has changed."""
        if getattr(self, "train_function", None) is not None:
            self.make_train_function(force=True)

    def _own_weights(self) -> list[keras.Variable]:
        masks = set() if self._masks is None else {id(mask) for mask in self._masks.weights}
        return [weight for weight in self.weights if id(weight) not in masks]

    def _placed(self, stored: dict[str, Any]) -> dict[str, np.ndarray]:
        """Removes the masks from what a file holds, and returns them by the paths of weights."""
        found = [key for key in stored if key.startswith(MASK)]
        masks = self._by_path({k.removeprefix(MASK): np.asarray(stored.pop(k)) for k in found})
        weights = self._own_weights()
        # As files of before have them: by the number of the weight.
        for index, mask in _take(stored, "mask_").items():
            masks[weights[index].path] = np.asarray(mask)
        return masks

    def _by_path(self, masks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Masks by the places of weights, as files and configs have them, by the paths."""
        paths = {place: path for path, place in places(self._own_weights()).items()}
        unknown = [place for place in masks if place not in paths]
        if unknown:
            raise ValueError(
                "Stored masks must be of weights that the model has, by layer and name: "
                f"{list(paths)}. Received: masks of {unknown}"
            )
        return {paths[place]: mask for place, mask in masks.items()}

    def _seeds(self) -> list[keras.Variable]:
        """Where the random sequences of dropout and the like have got to. Keras stores none."""
        others = {id(v) for v in [*self.weights, *self.metrics_variables]}
        return [v for v in self.non_trainable_variables if id(v) not in others]


def _take(stored: dict[str, Any], prefix: str) -> dict[int, Any]:
    """Removes the entries `prefix0`, `prefix1`, ... and returns them by their number."""
    keys = [key for key in stored if key.startswith(prefix)]
    return {int(key.removeprefix(prefix)): stored.pop(key) for key in keys}
