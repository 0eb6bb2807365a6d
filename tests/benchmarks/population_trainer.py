"""Members at once, or a network by itself, on rows that NumPy draws."""

import keras
import numpy as np

from keras_sam import Member, Population, SAMModel
from keras_sam.optimizers import SGD
from recipes import networks
from tests.benchmarks import synthetic
from tests.benchmarks.population import STEPS
from tests.benchmarks.trainer import Trainer
from tests.benchmarks.variant import Variant

POOL = 2048
RHO = 0.05
SHAPES = {"digits": (64,), "mnist": (28, 28, 1), "resnet18": (32, 32, 3)}


class PopulationTrainer(Trainer):
    """SAM steps of `variant.members` members, or of SAMModel's `fit` where that is 0.

    A "step" is 20 steps of each member.
    """

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        if variant.precision:
            keras.config.set_dtype_policy(f"mixed_{variant.precision}")
        self.rng = np.random.default_rng(0)
        shape = (POOL, *SHAPES[variant.network])
        self.x = self.rng.standard_normal(shape, dtype=np.float32)
        self.y = self.rng.integers(synthetic.CLASSES, size=POOL, dtype=np.int32)
        network = self.network(0)
        self.parameters = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
        self.member_steps = STEPS * max(1, variant.members)
        if variant.members:
            members = [Member(seed, RHO) for seed in range(variant.members)]
            self.model = Population(self.network, members)
            self.x, self.y = map(keras.ops.convert_to_tensor, (self.x, self.y))
        else:
            self.model = SAMModel(network, RHO)
        self.model.compile(
            SGD(synthetic.LEARNING_RATE, synthetic.MOMENTUM, weight_decay=1e-4),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )

    def network(self, seed: int) -> keras.Model:
        """The recipes' network of the variant."""
        variant, shape = self.variant, SHAPES[self.variant.network]
        if variant.network == "resnet18":
            return networks.resnet18(int(variant.width), shape, synthetic.CLASSES, seed=seed)
        return networks.mlp(variant.width, shape, synthetic.CLASSES, seed=seed)

    def steps(self, count: int) -> None:
        size = (max(1, self.variant.members), STEPS, self.variant.batch_size)
        for _ in range(count):
            rows = self.rng.integers(POOL, size=size, dtype=np.int32)
            if self.variant.members:
                self.model.train_epoch(self.x, self.y, rows)
            else:
                flat = rows.reshape(-1)
                arrays = self.x[flat], self.y[flat]
                self.model.fit(*arrays, self.variant.batch_size, shuffle=False, verbose=0)

    def wait(self) -> None:
        """Both loops return values of metrics, for which they wait."""
