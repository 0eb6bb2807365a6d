"""Python in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def output(*arguments, without=(), timeout=280, **environment):
    """What Python prints, given these arguments, which must end well.

    Args:
        *arguments: Of Python: "-m", a module, ...
        without: Environment variables that it does not get.
        timeout: Seconds that it may take.
        **environment: Environment variables that it gets besides this process's.
    """
    kept = {name: value for name, value in os.environ.items() if name not in without}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**kept, **environment},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
