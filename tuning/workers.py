"""Worker processes on this machine, with this process as their chief."""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import TracebackType

from tuning.study_oracle import StudyOracle

_IP = "127.0.0.1"

# Tells a worker the process with which it is to end.
PARENT = "RHO_SEARCH_PARENT"


class Workers:
    """Starts workers by KerasTuner's environment variables, and ends them with the search.

    Where there are GPUs, each worker has one of its own, or shares one if they are too few.

    Args:
        count: Number of workers.
        command: Arguments of `python` that a worker is started by.
        folder: Where their output goes, in files `worker<k>.log`.

    Example:

    ```python
    with Workers(2, ["-m", "tuning.rho_search", "digits"], folder) as workers:
        search(..., watch=workers.watch)
    ```
    """

    def __init__(self, count: int, command: Sequence[str], folder: str | os.PathLike[str]) -> None:
        self.count = count
        self.command = [sys.executable, *command]
        self.folder = pathlib.Path(folder)
        self._processes: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> Workers:
        place = {"KERASTUNER_ORACLE_IP": _IP, "KERASTUNER_ORACLE_PORT": str(_free_port())}
        os.environ.update(place, KERASTUNER_TUNER_ID="chief")
        self.folder.mkdir(parents=True, exist_ok=True)
        for index, device in enumerate(shares(self.count, gpus())):
            name = f"worker{index}"
            own = {"KERASTUNER_TUNER_ID": name, PARENT: str(os.getpid()), **device}
            with open(self._log(name), "wb") as log:
                self._processes[name] = subprocess.Popen(
                    self.command,
                    env={**os.environ, **own},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._processes.values():
            if error is not None:
                process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for name in ("IP", "PORT"):
            os.environ.pop(f"KERASTUNER_ORACLE_{name}", None)
        os.environ.pop("KERASTUNER_TUNER_ID", None)

    def watch(self, oracle: StudyOracle) -> None:
        """Gives the trials of workers that have died to the others.

        Raises:
            RuntimeError: If all have died before the search was over.
        """
        dead = [name for name, process in self._processes.items() if process.poll()]
        for name in dead:
            oracle.forget(name)
        if len(dead) == self.count and not oracle.finished.is_set():
            logs = "\n".join(f"{self._log(name)}:\n{self._tail(name)}" for name in dead[:1])
            raise RuntimeError(
                f"All {self.count} worker(s) ended before the search did. What was trained is in "
                f"the records; the same command goes on from there. The end of a log:\n{logs}"
            )

    def _log(self, name: str) -> pathlib.Path:
        return self.folder / f"{name}.log"

    def _tail(self, name: str) -> str:
        return self._log(name).read_text(errors="replace")[-2000:]


def gpus() -> list[str]:
    """The GPUs that this process may use, by CUDA's numbers or names; found without using them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu for gpu in visible.split(",") if gpu and gpu != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    count = sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    return [str(index) for index in range(count)]


def shares(count: int, available: Sequence[str]) -> list[dict[str, str]]:
    """The environment by which each of several workers gets one GPU, or a part of one.

    Args:
        count: Number of workers.
        available: The GPUs. Without any, the environment stays as it is.
    """
    if not available:
        return [{}] * count
    environments = []
    for index in range(count):
        environment = {"CUDA_VISIBLE_DEVICES": available[index % len(available)]}
        if count > len(available):  # Else the first would take all of the memory.
            environment |= {
                "TF_FORCE_GPU_ALLOW_GROWTH": "true",
                "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            }
        environments.append(environment)
    return environments


def end_with_parent() -> None:
    """Ends this process, a worker that `Workers` has started, soon after its parent has died."""
    parent = os.environ.get(PARENT)
    if parent is None:
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(0.5)
        os._exit(1)  # Whatever it is at: there is nobody left to report to.

    threading.Thread(target=watch, daemon=True).start()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_IP, 0))
        return probe.getsockname()[1]
