"""How a command ends when it is told to stop, or when a file cannot be written."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

# A batch system and a closed terminal say these, where a person presses Ctrl-C.
_SIGNALS = ("SIGTERM", "SIGHUP")


@contextlib.contextmanager
def command(stopped: str) -> Iterator[None]:
    """Ends the process with one line for a reader, and state 1, where work cannot go on.

    Ctrl-C, SIGTERM and SIGHUP end it alike, with `stopped`; so do files that cannot be read or
    written, and the errors by which recipes and studies refuse what they are given.

    Args:
        stopped: What is said to somebody who has stopped the command.
    """

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in _SIGNALS:
            if hasattr(signal, name):  # Windows has no SIGHUP.
                before[name] = signal.signal(getattr(signal, name), interrupt)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(stopped)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(
            f"{where}{error.strerror or error}. What was finished is kept: once that is mended, "
            "the same command goes on."
        )
    except (RuntimeError, ValueError) as error:
        sys.exit(str(error))
    except Exception as error:
        if type(error).__name__ != "DataLossError":  # TensorFlow's, for a file with wrong bytes.
            raise
        sys.exit(f"A file of the data is damaged; prepare the dataset anew. Received: {error}")
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
