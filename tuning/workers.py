"""Worker processes on this machine, with this process as their chief."""

from __future__ import annotations

import os
import pathlib
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
        for index in range(self.count):
            name = f"worker{index}"
            with open(self._log(name), "wb") as log:
                self._processes[name] = subprocess.Popen(
                    self.command,
                    env={**os.environ, "KERASTUNER_TUNER_ID": name, PARENT: str(os.getpid())},
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
