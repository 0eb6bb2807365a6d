"""A process of a search whose trials only sleep and write a line: chief, worker, or all in one.

python -m tests.tuning.search_process FILE SECONDS SILENCE
"""

import os
import sys
import time

from recipes.files import append_line
from tuning.search import search
from tuning.space import Space


def main() -> None:
    file, seconds, silence = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])

    def run(network: str, rho: float, epochs: int | None) -> float:
        worker = os.environ["KERASTUNER_TUNER_ID"]
        append_line(file, f"begin {worker} {network} {rho}")
        time.sleep(seconds)
        append_line(file, f"end {worker} {network} {rho}")
        return rho

    space = Space(rhos=(0.1, 0.2, 0.3))
    search(("a", "b"), space, run, epochs=1, silence=silence, chief_timeout=60.0)
    append_line(file, f"bye {os.environ['KERASTUNER_TUNER_ID']} - -")


if __name__ == "__main__":
    main()
