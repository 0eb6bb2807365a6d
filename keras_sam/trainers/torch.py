"""PyTorch: the training step."""

from typing import Any

import torch
from keras import ops, tree

from keras_sam.backend.torch_modules import module_layers
from keras_sam.training_step import TrainingStep


class SAMTrainer(TrainingStep):
    """The PyTorch side of SAMModel."""

    def compile(self, optimizer: Any, jit_compile: bool | str, **kwargs: Any) -> None:
        super().compile(optimizer, jit_compile=jit_compile, **kwargs)
        names = [layer.name for layer in module_layers(self)]
        if names and self.jit_compile:
            raise ValueError(
                "`jit_compile` must be False with layers that wrap modules of PyTorch: while "
                "torch.compile looks on, they cannot be handed the perturbed weights. "
                f"Received: `jit_compile={jit_compile}` and layers {names}"
            )

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step: gradients at the perturbed weights, applied to the weights."""
        if not self.trainable_variables:
            return super().train_step(data)
        # Once to the device, not once a pass.
        data = tree.map_structure(lambda t: None if t is None else ops.convert_to_tensor(t), data)
        with torch.no_grad():
            return self.sam_step(data)

    def test_step(self, data: Any) -> dict[str, Any]:
        return self.evaluation_step(data)
