"""What a worker times."""

from abc import ABC, abstractmethod


class Trainer(ABC):
    """A network with its optimizer and one batch in the device's memory.

    Attributes:
        parameters: The number of trainable weights; equal networks have equal numbers. `None`
            without a network.
        member_steps: How many steps of one network a "step" is.
    """

    parameters: int | None
    member_steps: int = 1

    @abstractmethod
    def steps(self, count: int) -> None:
        """Takes `count` training steps. May return before the device has done them."""

    @abstractmethod
    def wait(self) -> None:
        """Returns once the last step's weights are there."""

    def fit(self, count: int) -> None:
        """Takes `count` training steps by the package's own loop over arrays."""
        raise NotImplementedError(f"{type(self).__name__} has no loop of its own")
