"""A process that holds one variant and takes training steps when it is told to.

    python -m tests.benchmarks.worker VARIANT_AS_JSON

It answers in JSON, one line a message. First, once the variant is built and its first step is done:
{"parameters": ..., "device": ..., "versions": ..., "built": MiB}. Then for each line "steps N" or
"fit N" on stdin: {"seconds": of all N, "peak": MiB, "device_peak": MiB or null}. If anything fails:
{"error": ...}, and the process ends, as it does when stdin is closed.
"""

import importlib.metadata
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.benchmarks.devices import accelerator, device_name, peak_process_memory
from tests.benchmarks.trainer import Trainer
from tests.benchmarks.variant import Variant


def build(variant: Variant) -> Trainer:
    """Imports the variant's framework, and nothing of the others."""
    if variant.package == "keras_sam":
        from tests.benchmarks.keras_trainer import KerasTrainer

        return KerasTrainer(variant)
    if variant.package == "pytorch_optimizer":
        from tests.benchmarks.pytorch_trainer import PyTorchTrainer

        return PyTorchTrainer(variant)
    if variant.package == "optax":
        from tests.benchmarks.optax_trainer import OptaxTrainer

        return OptaxTrainer(variant)
    if variant.package == "tf_keras":
        from tests.benchmarks.tf_keras_trainer import TFKerasTrainer

        return TFKerasTrainer(variant)
    if variant.package == "recipes":
        from tests.benchmarks.epoch_trainer import EpochTrainer

        return EpochTrainer(variant)
    if variant.package == "population":
        from tests.benchmarks.population_trainer import PopulationTrainer

        return PopulationTrainer(variant)
    if variant.package == "runs":
        from tests.benchmarks.runs_trainer import RunsTrainer

        return RunsTrainer(variant)
    raise ValueError(f"`variant.package` is unknown. Received: `variant={variant}`")


def main() -> None:
    variant = Variant.from_json(sys.argv[1])
    with answers() as answer:
        try:
            trainer = build(variant)
            built = peak_process_memory()
            trainer.steps(1)
            trainer.wait()
            answer(
                parameters=trainer.parameters,
                member_steps=trainer.member_steps,
                device=device_name(variant.backend),
                versions={p: importlib.metadata.version(p) for p in variant.packages},
                built=built,
            )
            for line in sys.stdin:
                what, count = line.split()
                seconds = timed(trainer, what, int(count))
                found = accelerator(variant.backend)
                answer(
                    seconds=seconds,
                    peak=peak_process_memory(),
                    device_peak=found[1] if found else None,
                )
        except Exception as error:
            traceback.print_exc()
            answer(error=f"{type(error).__name__}: {error}")


def timed(trainer: Trainer, what: str, count: int) -> float:
    """Seconds of `count` steps, after one that is not counted: others had the caches until now."""
    run = trainer.fit if what == "fit" else trainer.steps
    run(1)
    trainer.wait()
    start = time.perf_counter()
    run(count)
    trainer.wait()
    return time.perf_counter() - start


@contextmanager
def answers() -> Iterator[Callable[..., None]]:
    """Keeps stdout for the answers; whatever else prints there goes to stderr."""
    with os.fdopen(os.dup(1), "w") as stdout:
        os.dup2(2, 1)

        def answer(**message: Any) -> None:
            print(json.dumps(message), file=stdout, flush=True)

        yield answer


if __name__ == "__main__":
    main()
