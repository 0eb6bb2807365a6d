"""pytorch_optimizer's SAM, and plain SGD, on PyTorch.

The step is the one of pytorch_optimizer's documentation: gradients at the weights, then
`optimizer.step(closure)`, where the closure computes them again at the perturbed weights. It moves
the statistics of batch normalisation in both passes.
"""

from typing import Any

import torch
from pytorch_optimizer import SAM
from torch import nn

from tests.benchmarks import synthetic
from tests.benchmarks.trainer import Trainer
from tests.benchmarks.variant import Variant


class PyTorchTrainer(Trainer):
    """Eager by default, as PyTorch is; `jit` compiles the network with `torch.compile`."""

    def __init__(self, variant: Variant) -> None:
        if variant.precision == "float16":
            raise NotImplementedError("pytorch_optimizer's SAM has no loss scaling for float16")
        torch.manual_seed(0)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.autocast = variant.precision is not None
        module = (mlp() if variant.network == "mlp" else resnet18(variant.filters)).to(self.device)
        self.weights = list(module.parameters())
        self.parameters = sum(w.numel() for w in self.weights)
        x, y = synthetic.batch(variant)
        self.x = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous().to(self.device)
        self.y = torch.from_numpy(y).long().to(self.device)
        self.network = torch.compile(module) if variant.jit else module
        lr, momentum, sgd = synthetic.LEARNING_RATE, synthetic.MOMENTUM, torch.optim.SGD
        self.optimizer = (
            sgd(self.weights, lr=lr, momentum=momentum)
            if variant.rho is None
            else SAM(self.weights, sgd, rho=variant.rho, lr=lr, momentum=momentum)
        )

    def steps(self, count: int) -> None:
        for _ in range(count):
            self._gradients()
            if isinstance(self.optimizer, SAM):
                self.optimizer.step(self._gradients)
            else:
                self.optimizer.step()

    def wait(self) -> None:
        self.weights[-1].detach().cpu()

    def _gradients(self) -> Any:
        self.optimizer.zero_grad()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.autocast):
            loss = nn.functional.cross_entropy(self.network(self.x), self.y)
        loss.backward()
        return loss


def mlp() -> nn.Module:
    """Two hidden layers of 300 and 100 units."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(28 * 28, 300),
        nn.ReLU(),
        nn.Linear(300, 100),
        nn.ReLU(),
        nn.Linear(100, synthetic.CLASSES),
    )


def resnet18(filters: int) -> nn.Module:
    """ResNet-18 for 32x32 images: 3x3 stem of stride 1, no pooling, projection shortcuts."""
    blocks = []
    inputs = filters
    for stage in range(4):
        for block in range(2):
            outputs = filters * 2**stage
            blocks.append(BasicBlock(inputs, outputs, 2 if stage and not block else 1))
            inputs = outputs
    return nn.Sequential(
        *conv_bn(3, filters, 3, 1),
        nn.ReLU(),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(inputs, synthetic.CLASSES),
    )


class BasicBlock(nn.Module):
    """ReLU(shortcut(x) + BN(conv3x3(ReLU(BN(conv3x3(x))))))."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *conv_bn(inputs, outputs, 3, stride), nn.ReLU(), *conv_bn(outputs, outputs, 3, 1)
        )
        projects = stride != 1 or inputs != outputs
        self.shortcut = nn.Sequential(*conv_bn(inputs, outputs, 1, stride) if projects else ())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.shortcut(x) + self.residual(x))


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int) -> tuple[nn.Module, nn.Module]:
    """A convolution without bias, and batch normalisation."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return conv, nn.BatchNorm2d(outputs)
