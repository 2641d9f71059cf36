"""Commands that confine the process they start.

Students' notebooks may do anything by accident: delete a folder, fill the memory, kill what
they find. Neither of these commands is meant to stop an attacker.
"""

import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """Seconds of a cell, of a check and of a whole notebook, and bytes of memory."""

    cell: float = 30.0
    check: float = 10.0
    notebook: float = 180.0
    memory: int = 4 * 2**30


LIMITS = Limits()


def limited(memory: int) -> list[str]:
    """Return a command that limits the bytes of memory of a process, and of a file to 256 MB.

    On Linux what is counted is memory that can be written; other systems may not hold to it.
    """
    # in kibibytes and in blocks of 512 bytes; a limit that is lower already stays
    limits = f"ulimit -c 0; ulimit -d {memory // 1024}; ulimit -f {2**28 // 512}"
    return ["sh", "-c", f'{limits}; exec "$@"', "sh"]


def confined(folder: Path) -> list[str]:
    """Return a command of bubblewrap: no network, changes to files only within a folder.

    The process sees none but its own, and all of them end when it or its parent ends.
    """
    return [
        "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "/", "/",
        "--dev", "/dev", "--proc", "/proc", "--bind", str(folder), str(folder),
    ]  # fmt: skip


@cache
def can_confine() -> bool:
    """Whether bubblewrap is found, and the system lets it work."""
    command = [*confined(Path(tempfile.gettempdir())), "true"]
    try:
        return subprocess.run(command, capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
