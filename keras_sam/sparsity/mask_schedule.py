"""When masks change during training: the part that all mask callbacks share."""

import keras
from keras import ops

from keras_sam.sam_model import SAMModel
from keras_sam.validation import integer


class MaskSchedule(keras.callbacks.Callback):
    """Calls `update(step)` after the steps begin_step, begin_step + frequency, ... <= end_step.

    Steps are the optimizer's iterations, so a resumed training goes on where it was. If one batch
    end stands for several steps (`steps_per_execution`), the last due step among them is taken.

    Args:
        begin_step: The first step, an int >= 0.
        end_step: The last step, or `None` for no end.
        frequency: Steps between updates, an int >= 1.

    Raises:
        TypeError: If an argument is not an int.
        ValueError: If one is too small.
    """

    def __init__(self, begin_step: int, end_step: int | None, frequency: int) -> None:
        super().__init__()
        self.begin_step = integer("begin_step", begin_step, least=0)
        if end_step is not None:
            end_step = integer("end_step", end_step, least=self.begin_step + 1)
        self.end_step = end_step
        self.frequency = integer("frequency", frequency, least=1)
        self._updated: int | None = None

    def update(self, step: int) -> None:
        """Changes `self.model.masks`.

        Args:
            step: The step that is due.
        """
        raise NotImplementedError

    def due(self) -> int | None:
        """The last step of the schedule so far, or `None` before the first."""
        step = int(ops.convert_to_numpy(self.model.optimizer.iterations))
        if step < self.begin_step:
            return None
        if self.end_step is not None:
            step = min(step, self.end_step)
        return step - (step - self.begin_step) % self.frequency

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        if not isinstance(self.model, SAMModel):
            raise TypeError(
                f"`{type(self).__name__}` needs a SAMModel, which holds the masks; "
                "SAMModel(model, rho=0) trains by the plain optimizer. "
                f"Received: `model={self.model!r}`"
            )
        self._updated = self.due()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        step = self.due()
        if step is not None and step != self._updated:
            self.update(step)
            self._updated = step
