"""Run a command that makes a file, unless another process is just making it: then wait for that.

``python tools/alone.py FILE "COMMAND"``, called by ``make``, so that two of them in one folder do
not write over each other. It needs no packages.
"""

import fcntl
import subprocess
import sys
import time
from pathlib import Path

LOCK = Path("_build", "lock")  # freed by the system, however its owner ends


def main(path: str, command: str) -> int:
    """Return the exit status of the command, or 0 if another process has made the file."""
    started = time.time()
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("Another make is at work in this folder: waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if Path(path).exists() and Path(path).stat().st_mtime > started:
                print(f"It has made {path}", flush=True)
                return 0
        return subprocess.call(command, shell=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
