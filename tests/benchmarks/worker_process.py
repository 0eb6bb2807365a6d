"""The parent's side of a worker."""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.benchmarks.variant import Variant

REPOSITORY = Path(__file__).parents[2]
# Several processes share one accelerator: none may take all of its memory.
SHARING = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


class WorkerError(Exception):
    """What the worker said, or printed last."""


class WorkerProcess:
    """Starts a worker and waits until its first step is done.

    Args:
        variant: What it trains.
        wait: `False` leaves the waiting to `wait`: several workers may compile at once.

    Attributes:
        description: The worker's first answer.

    Raises:
        WorkerError: If the worker could not be built, here or at a later call.
    """

    description: dict[str, Any]

    def __init__(self, variant: Variant, wait: bool = True) -> None:
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by `close`)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.worker", variant.to_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            cwd=REPOSITORY,
            env={
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "TF_ENABLE_ONEDNN_OPTS": "1",
                **os.environ,
                **({} if variant.onednn else {"TF_ENABLE_ONEDNN_OPTS": "0"}),
                **SHARING,
                "KERAS_BACKEND": variant.backend,
            },
        )
        if wait:
            self.wait()

    def wait(self) -> None:
        """Waits until the first step is done."""
        try:
            self.description = self._answer()
        except BaseException:
            self.close()
            raise

    def ask(self, what: str, count: int) -> dict[str, Any]:
        """Lets the worker do "steps" or "fit" `count` times; returns its answer."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # It has ended; what it left behind says why.
            print(what, count, file=self._process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()  # A second time does nothing.

    def __enter__(self) -> "WorkerProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._stderr.seek(0)
            last = self._stderr.read().strip()[-1000:]
            raise WorkerError(f"ended with status {self._process.wait()}: {last}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer
