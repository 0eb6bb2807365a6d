"""Epochs of a recipe's runs, evaluations included: all runs at once, or one by one."""

import itertools
import math
import pathlib
import tempfile

from recipes.running import parts
from recipes.running.recipe import find
from recipes.running.runtime import Runtime
from recipes.running.together import Together
from recipes.running.trainer import Trainer as Runs
from tests.benchmarks.trainer import Trainer
from tests.benchmarks.variant import Variant


class RunsTrainer(Trainer):
    """Carries out the runs of a width: its seeds at rho 0 and at the recipe's rhos.

    A "step" is an epoch. Whatever a run costs besides its epochs is in every call once, and drops
    out of the difference of two numbers of epochs.

    Attributes:
        runs: How many runs a call carries out.
    """

    def __init__(self, variant: Variant) -> None:
        recipe = find(variant.network)
        rhos = (0.0, *recipe.rhos)
        # One by one a seed is enough: it is the mean over rhos that counts.
        seeds = max(1, variant.members // len(rhos))
        self.settings = dict(width=variant.width, batch_size=variant.batch_size)
        self.grid = list(itertools.product(range(seeds), rhos))
        self.recipe, self.runs = recipe, len(self.grid)
        config = recipe.config(**self.settings)
        data = parts.load_data(config)
        self.member_steps = self.runs * data.steps_per_epoch
        weights = parts.build_network(config, data).trainable_variables
        self.parameters = sum(math.prod(variable.shape) for variable in weights)
        self.at_once = variant.members > 0
        # One for each number of epochs, which are settings: what it has compiled is kept.
        self.trainers: dict[int, Runs] = {}
        self.together: dict[int, Together] = {}

    def steps(self, count: int) -> None:
        configs = [
            self.recipe.config(**self.settings, seed=seed, rho=rho, epochs=count)
            for seed, rho in self.grid
        ]
        if count not in self.trainers:
            self.trainers[count] = Runs(Runtime(progress=False, checkpoint_seconds=1e9))
            self.together[count] = Together(self.trainers[count])
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            if self.at_once:
                records = self.together[count].train(configs, folder, folder / "records.jsonl")
                assert len(records) == self.runs, records
                return
            for i, config in enumerate(configs):
                self.trainers[count].train(config, folder / str(i))

    def wait(self) -> None:
        """A run ends with its record."""
