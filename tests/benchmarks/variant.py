"""What is timed: one training step of one package on one network."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import asdict, dataclass, replace

NETWORKS = {"mlp": "MLP", "resnet18": "ResNet-18"}
# From each package to what its row is called with SAM, and without.
STEP_NAMES = {
    "keras_sam": ("keras_sam SAM", "Keras SGD"),
    "pytorch_optimizer": ("pytorch_optimizer SAM", "PyTorch SGD"),
    "optax": ("optax SAM", "optax SGD"),
    "tf_keras": ("tf-keras SAM", "tf-keras SGD"),
}


@dataclass(frozen=True)
class Variant:
    """One row of the table.

    Attributes:
        package: The package whose step it is, a key of `STEP_NAMES`; or "recipes" for whole
            epochs of a recipe, "population" for members at once, "runs" for a recipe's runs.
        backend: The framework below it: "tensorflow", "jax" or "torch".
        network: A key of `NETWORKS`.
        filters: Filters of the ResNet's first stage; 0 for the MLP.
        batch_size: Examples a step.
        rho: The radius of SAM. 0 is the package's own step without a perturbation, `None` the
            framework's plain SGD, where the package takes no part.
        sparsity: The share of kernel weights that is masked, in [0, 1). 0 is no masks at all.
        jit: Whether compilation is asked for. `False` leaves the framework its default.
        precision: "float16" or "bfloat16" for mixed precision, `None` for float32.
        method: A name of `method_arguments.NAMES`; empty for SAM itself.
        onednn: Whether TensorFlow uses oneDNN on a CPU, unless the environment says otherwise.
        width: Of a population's network.
        members: Of a population; 0 for a network by itself.
    """

    package: str
    backend: str
    network: str
    filters: int
    batch_size: int
    rho: float | None
    sparsity: float = 0.0
    jit: bool = False
    precision: str | None = None
    method: str = ""
    onednn: bool = True
    width: float = 1.0
    members: int = 0

    @property
    def step_name(self) -> str:
        sam, sgd = STEP_NAMES[self.package]
        without = "" if self.onednn else ", no oneDNN"
        if self.rho is None:
            return sgd + without
        if self.method:
            return f"{self.package} {self.method}{without}"
        masked = f", {self.sparsity:.0%} masked" if self.sparsity else ""
        return (sam if self.rho else f"{self.package} rho=0") + masked + without

    @property
    def network_name(self) -> str:
        return NETWORKS[self.network] + (f"/{self.filters}" if self.filters else "")

    @property
    def group(self) -> tuple[str, int]:
        """Steps are compared inside a group."""
        return self.network_name, self.batch_size

    @property
    def sgd(self) -> Variant:
        """The step to divide by: plain SGD; for a masked step, SGD with the same masks."""
        return replace(self, rho=0.0 if self.sparsity else None, method="")

    @property
    def dense(self) -> Variant:
        """The same step without masks."""
        return replace(self, sparsity=0.0)

    @property
    def packages(self) -> tuple[str, str]:
        """The packages of others that this step needs."""
        ours = self.package in ("keras_sam", "recipes", "population", "runs")
        return ("keras" if ours else self.package), self.backend

    def missing_package(self) -> str | None:
        """One of them that is not installed, or `None`."""
        return next((p for p in self.packages if importlib.util.find_spec(p) is None), None)

    @property
    def has_fit(self) -> bool:
        """Whether the package has a training loop of its own."""
        return self.package in ("keras_sam", "tf_keras")

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Variant:
        return cls(**json.loads(line))
