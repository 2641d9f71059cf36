"""Make `.venv`, or bring it up to date; called by ``make``.

An environment that does not fit is made anew: one of another folder, which a copied or moved
checkout has and in which Python imports that folder's library, one of a Python that is not
supported, one of another Python than the caller asks for. Where `.venv` is a link, what it leads to
is left alone. Any Python 3 runs this, and it needs no packages.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

VENV = Path(".venv")
SUPPORTED = ("3.11", "3.12", "3.13")
SIZE = "up to 3.5 GB to download and 6.8 GB on the disk; README says how to do with less"
OF_THE_NETWORK = re.compile(
    "connect|timed? ?out|proxy|ssl|max retries|name resolution", re.IGNORECASE
)


def misfit(wanted: str = "") -> str:
    """Return why the environment cannot serve this checkout, or nothing if it can.

    `wanted` is the version of Python that it must have, if it matters.
    """
    try:
        made = (VENV / "pyvenv.cfg").read_text("utf-8")
    except OSError:
        return "is incomplete"
    version = re.search(r"^version = (\d+\.\d+)", made, re.MULTILINE)
    version = version.group(1) if version else "unknown"
    if version not in SUPPORTED:
        return f"is of Python {version}, and one of {', '.join(SUPPORTED)} is needed"
    if wanted and version != wanted:
        return f"is of Python {version}, not {wanted}"
    here = Path.cwd() / VENV
    if not re.search(rf"^command = .* -m venv (.* )?{re.escape(str(here))}$", made, re.MULTILINE):
        return "was made for another folder"
    if not (VENV / "bin" / "python").exists():
        return "has lost its Python"
    if not (VENV / "bin" / "pip").exists():
        return "is incomplete"
    return ""


def set_up(wanted: str) -> None:
    """Make the environment that is missing or does not fit, and install what the book needs."""
    exists = VENV.is_dir() and any(VENV.iterdir())
    if exists and (reason := misfit(wanted)):
        if VENV.is_symlink():
            sys.exit(
                f".venv is a link to {VENV.resolve()}, which {reason}. It is left as it is.\n"
                "Remove the link (rm .venv) and call make again, which makes an own one."
            )
        print(f".venv {reason}: it is made anew", flush=True)
        shutil.rmtree(VENV)
        exists = False
    if not exists:
        print(f"Setting up .venv with Python {this_version()}: {SIZE}", flush=True)
        done = subprocess.run([sys.executable, "-m", "venv", VENV], check=False)
        if done.returncode:
            sys.exit(done.returncode)
    install()
    (VENV / ".ready").touch()


def install() -> None:
    """Install the packages, showing what pip shows; exit with the likely reason if it fails."""
    pip = [VENV / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check"]
    packages = ["-c", "constraints.txt", "-r", "requirements.txt"]
    with subprocess.Popen([*pip, *packages], stderr=subprocess.PIPE, text=True) as running:
        complaints = []
        for line in running.stderr:
            sys.stderr.write(line)
            complaints.append(line)
    if running.returncode:
        said = "".join(complaints)
        if "No space left" in said:
            reason = f"The disk is full: .venv needs {SIZE}."
        elif OF_THE_NETWORK.search(said):
            reason = "pip did not reach the package index: is there a network, or a proxy to name?"
        else:
            reason = "pip could not install the packages; its reason stands above."
        sys.exit(f"\n{reason}\nWhat is installed stays: call make again to go on from there.")


def this_version() -> str:
    """Return the version of the Python that runs this, as 3.12."""
    return ".".join(map(str, sys.version_info[:2]))


if __name__ == "__main__":
    given = this_version() if "--this-python" in sys.argv else ""
    if "--check" in sys.argv:
        print(misfit(given) or "fits")
    else:
        set_up(given)
