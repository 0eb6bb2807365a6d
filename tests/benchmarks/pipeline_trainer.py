"""The input of training without the training."""

import itertools

from recipes.datasets.cifar10 import cifar10
from recipes.datasets.split import Split
from tests.benchmarks.trainer import Trainer
from tests.benchmarks.variant import Variant


class PipelineTrainer(Trainer):
    """Takes batches from the recipes' CIFAR-10 training pipeline and drops them."""

    parameters = None

    def __init__(self, variant: Variant) -> None:
        self.batches = iter(cifar10(Split(batch_size=variant.batch_size), download=False).train(0))

    def steps(self, count: int) -> None:
        for _ in itertools.islice(self.batches, count):
            pass

    def wait(self) -> None:
        """A batch that was taken is there."""
