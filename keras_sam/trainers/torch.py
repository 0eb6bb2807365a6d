"""PyTorch: the training step."""

from typing import Any

import torch
from keras import ops, tree

from keras_sam.training_step import TrainingStep


class SAMTrainer(TrainingStep):
    """The PyTorch side of SAMModel."""

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step: gradients at the perturbed weights, applied to the weights."""
        if not self.trainable_variables:
            return super().train_step(data)
        # Once to the device, not once a pass.
        data = tree.map_structure(lambda t: None if t is None else ops.convert_to_tensor(t), data)
        with torch.no_grad():
            return self.sam_step(data)
