"""Runs a study: alone, with workers on this machine, or as one process of several machines."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from recipes.running.config import RunConfig
from recipes.running.lock import locked
from recipes.running.records import Record, read_records
from recipes.running.runtime import Runtime
from tuning.cluster import check_cluster, is_worker, worker_suffix
from tuning.report import write_report
from tuning.search import search
from tuning.study import Study
from tuning.study_oracle import StudyOracle
from tuning.study_progress import StudyProgress
from tuning.workers import Workers, end_with_parent

if TYPE_CHECKING:
    from recipes.running.together import Together
    from recipes.running.trainer import Trainer


def run_study(
    study: Study,
    *,
    runtime: Runtime | None = None,
    report: str = "selected",
    update: bool = False,
    workers: int = 0,
    population: int | None = None,
    command: Sequence[str] = (),
    silence: float = 60.0,
    chief_timeout: float = 300.0,
) -> str | None:
    """Runs what a study's records do not hold yet, and writes its report.

    Args:
        study: The study.
        runtime: How runs are carried out. Defaults to `Runtime()`.
        report: See `write_report`. Defaults to "selected".
        update: See `Study.claim_folder`. Defaults to `False`.
        workers: Number of processes to train in besides this one; 0 is to train in this one.
            Defaults to 0.
        population: Runs that are trained at once, as one model; 1 is one by one. Defaults to
            `None`: all that a trial has, for a grid all of a width, where they can be.
        command: Arguments of `python` by which a worker of this study is started.
        silence: See `search`. Defaults to 60.
        chief_timeout: See `search`. Defaults to 300.

    Returns:
        The report's text; `None` in a worker.

    Raises:
        RuntimeError: If another process runs a study in the folder, or all workers have ended.
        ValueError: If the folder is that of a study with other settings.
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
        raise ValueError(f"`workers` must be an integer >= 0. Received: `workers={workers!r}`")
    if population is not None and (not isinstance(population, int) or population < 1):
        raise ValueError(
            f"`population` must be an integer >= 1 or None. Received: `population={population!r}`"
        )
    check_cluster()
    progress = workers_here = None
    with contextlib.ExitStack() as stack:
        if is_worker():
            end_with_parent()
        else:
            stack.enter_context(locked(study.folder))
            study.claim_folder(update)
            runtime = runtime or Runtime()
            progress = StudyProgress(study, study.records(), shown=runtime.progress)
            stack.callback(progress.close)
        if workers:
            workers_here = stack.enter_context(Workers(workers, command, study.folder / "workers"))
        search(
            list(study.networks),
            study.space,
            study.trial(*_trainers(study, runtime or Runtime(), progress, population)),
            epochs=study.base.epochs,
            objective=f"val_{study.metric.name}",
            silence=silence,
            chief_timeout=chief_timeout,
            watch=_watcher(study, progress, workers_here),
            scratch=study.folder / f".search{worker_suffix()}",
        )
    return None if is_worker() else write_report(study, report)


def _trainers(
    study: Study, runtime: Runtime, progress: StudyProgress | None, population: int | None
) -> tuple[Callable[[RunConfig], Record], Callable[[list[RunConfig]], None]]:
    """What trains a run of the study in this process, or several, where there is no record yet."""
    # A file for each process: appending is atomic on one machine only.
    file = study.folder / f"records{worker_suffix()}.jsonl"

    @functools.cache
    def trainer() -> Trainer:
        # Only now: a chief has no use for a device.
        from recipes.running.trainer import Trainer

        if is_worker():
            study.claim_folder()  # By now the chief has.
        return Trainer(dataclasses.replace(runtime, progress=False))

    @functools.cache
    def population_trainer() -> Together:
        from recipes.running.together import Together

        return Together(trainer(), population)

    def train(config: RunConfig) -> Record:
        if progress is not None:
            progress.begin(config)
        folder = study.folder / config.name(study.base)
        # A worker that was taken for dead may still be at it.
        record = trainer().train(config, folder, records=file, wait=is_worker())
        if progress is not None:
            progress.update([record])
        return record

    def together(configs: list[RunConfig]) -> None:
        from keras_sam.memory import NotEnoughMemoryError

        done = [r.config for r in read_records(*study.folder.glob("records*.jsonl"))]
        # What was begun by itself goes on by itself.
        left = [
            config
            for config in configs
            if config not in done
            and not (study.folder / config.name(study.base) / "checkpoint.npz").exists()
        ]
        if population == 1 or not population_trainer().can_train(left):
            return
        if progress is not None:
            progress.begin(left[0])
        with contextlib.suppress(NotEnoughMemoryError):  # One by one, then.
            records = population_trainer().train(left, study.folder, file, wait=is_worker())
            if progress is not None:
                progress.update(records)

    return train, together


def _watcher(
    study: Study, progress: StudyProgress | None, workers: Workers | None
) -> Callable[[StudyOracle], None]:
    """What a chief does while its workers train."""
    size_before = 0

    def watch(oracle: StudyOracle) -> None:
        nonlocal size_before
        size = sum(file.stat().st_size for file in study.folder.glob("records*.jsonl"))
        if progress is not None and size != size_before:
            progress.update(study.records())
            size_before = size
        if workers is not None:
            workers.watch(oracle)

    return watch
