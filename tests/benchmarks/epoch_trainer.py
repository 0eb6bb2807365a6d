"""Epochs of the CIFAR-10 recipe, input included."""

import math

import keras

from recipes.running import parts
from recipes.running.compiled import Compiled
from recipes.running.recipe import find
from recipes.running.runtime import Runtime
from tests.benchmarks.epoch_time import STEPS
from tests.benchmarks.trainer import Trainer
from tests.benchmarks.variant import Variant


class EpochTrainer(Trainer):
    """Trains as a run does: `fit` over an epoch's shuffled, cropped, flipped, normalised batches.

    A "step" is an epoch of 39 steps.
    """

    def __init__(self, variant: Variant) -> None:
        recipe = find("cifar10_resnet18")
        config = recipe.config(
            width=variant.filters,
            rho=variant.rho or 0.0,
            batch_size=variant.batch_size,
            take=math.ceil(STEPS * variant.batch_size / (1 - recipe.default.validation_split)),
        )
        data = parts.load_data(config)
        assert data.steps_per_epoch == STEPS, data.steps_per_epoch
        self.compiled = Compiled(config, data, Runtime(progress=False), None)
        weights = self.compiled.network.trainable_variables
        self.parameters = sum(math.prod(variable.shape) for variable in weights)
        self.epoch = 0

    def steps(self, count: int) -> None:
        sam = self.compiled.sam
        sam.fit(
            sam.plans(self.epoch),
            initial_epoch=self.epoch,
            epochs=self.epoch + count,
            steps_per_epoch=sam.plans_per_epoch,
            shuffle=False,
            verbose=0,
        )
        self.epoch += count

    def wait(self) -> None:
        keras.ops.convert_to_numpy(self.compiled.network.trainable_variables[-1])
