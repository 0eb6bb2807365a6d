"""A model whose step follows a method: its rules, their state, and what its files hold of it."""

from typing import Any

import keras
from keras.optimizers.schedules import LearningRateSchedule

from keras_sam import perturbation
from keras_sam.arguments import valid_rho
from keras_sam.backend import keras_internals
from keras_sam.masked import Masked
from keras_sam.method_state import MethodState
from keras_sam.methods import GEOMETRIES, Method, Only, Setting
from keras_sam.methods.method import State
from keras_sam.perturbation import Perturbation
from keras_sam.selection import Selection, selected

PREFIX = "method_"


class WithMethod(Masked):
    """Adds a method to a trainer. The attributes, arguments of SAMModel, are set by it."""

    num_batch_splits: int | None
    sync_perturbation: bool
    method: Method
    perturb: Selection
    geometry: str | Perturbation | None
    normalize: bool
    adaptive: bool | str
    eta: float
    ascent_steps: int
    _rho: float | LearningRateSchedule

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._method_state: Any = None  # A MethodState layer, if a rule has a state.
        self._fitted_to: tuple[int, ...] = ()

    @property
    def rho(self) -> float | LearningRateSchedule:
        """The radius. It may be set between steps and between epochs."""
        return self._rho

    @rho.setter
    def rho(self, rho: float | LearningRateSchedule) -> None:
        rho = valid_rho(rho)
        self.check_setting(self.setting(rho))
        self._rho = rho
        self.renew_train_function()

    def setting(self, rho: float | LearningRateSchedule) -> Setting:
        """What the method works in, with this radius."""
        return Setting(
            self.method,
            rho,
            self.ascent_steps,
            self.num_batch_splits,
            self.sync_perturbation,
            self.log_ascent,
        )

    def reset_method(self) -> None:
        """Lets the method's rules start anew, as before the first step."""
        if self._method_state is not None:
            self.sync_variables()
            self._method_state.assign({})

    def fit_method(self) -> None:
        """Makes what the method needs for the weights that are trained, once there are any.

        Raises:
            ValueError: If `perturb` selects none of them.
        """
        weights = self.trainable_variables
        ids = tuple(id(weight) for weight in weights)
        if not self.built or ids in ((), self._fitted_to):
            return
        self.perturbation = self._make_perturbation()
        if self._method_state is None and any(self.method.state(weights)):
            keras_internals.attach(self, "_method_state", MethodState())
        if self._method_state is not None:
            with self.creation_scope():
                self._method_state.fit_to(self.method, weights)
        self._fitted_to = ids

    def _make_perturbation(self) -> Perturbation:
        if callable(self.geometry):
            made: Perturbation = self.geometry
        elif self.geometry is not None:
            made = GEOMETRIES[self.geometry]
        else:
            is_partial = self.adaptive == "kernels"
            scaled = selected(self, "kernels", "adaptive") if is_partial else None
            made = perturbation.perturbation(self.normalize, bool(self.adaptive), self.eta, scaled)
        if self.perturb == "all":
            return made
        return Only(selected(self, self.perturb, "perturb"), made)

    @property
    def method_variables(self) -> State:
        return ([], [], []) if self._method_state is None else self._method_state.by_rule

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        if self._method_state is not None:
            self.sync_variables()
            for name, array in self._method_state.arrays().items():
                store[PREFIX + name] = array

    def load_own_variables(self, store: Any) -> None:
        stored = {key: store[key] for key in store.keys()}  # noqa: SIM118 - it is no dict
        names = [key for key in stored if key.startswith(PREFIX)]
        arrays = {name.removeprefix(PREFIX): stored.pop(name) for name in names}
        super().load_own_variables(stored)
        self.fit_method()
        if self._method_state is not None:
            self._method_state.assign(arrays)

    def _symbolic_build(self, *args: Any, **kwargs: Any) -> None:
        # Keras hook, called before steps: where Keras builds the optimizer.
        super()._symbolic_build(*args, **kwargs)
        self.fit_method()

    def _seeds(self) -> list[keras.Variable]:
        own = {id(v) for of_rule in self.method_variables for v in of_rule}
        return [v for v in super()._seeds() if id(v) not in own]
