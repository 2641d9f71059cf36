"""Run the notebooks with Colab's versions: ``make test-colab``.

Makes `.venv-colab` with what `constraints-colab.txt` lists, as far as the package index has it for
the Python that runs this. There, for one notebook after the other, the setup cell is executed as
in Colab: it finds `google.colab`, and pip clones the book's address, which git is told to
read from this checkout. No version may move, and nbval must find every output again.
Names on the command line are the notebooks to run instead of all.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv-colab"
PYTHON = ENVIRONMENT / "bin" / "python"
FOUND = ENVIRONMENT / "colab.json"  # what was installed, for which list
CONSTRAINTS = ROOT / "constraints-colab.txt"
# tests that need no more than what is in this environment
TESTS = (ROOT / "tests" / "explorers" / "test_widget.py",)

ABSENT = re.compile(r"No matching distribution found for ([\w.-]+)==(\S+)")
ADDRESS = re.compile(r"git\+(https://[^\s\"'@]+)@([^\s\"']+)")
PRETEND = "import sys, types\nsys.modules['google.colab'] = types.ModuleType('google.colab')\n"


def pip(*arguments: str) -> subprocess.CompletedProcess:
    """Run pip in the environment and return what it printed."""
    command = [PYTHON, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def installed() -> dict[str, str]:
    """Return the versions that are in the environment."""
    listed = json.loads(pip("list", "--format=json").stdout)
    return {package["name"].lower(): package["version"] for package in listed}


def make_environment() -> dict[str, str]:
    """Return the versions in `.venv-colab`, made anew if its list or the Python is another."""
    lines = CONSTRAINTS.read_text("utf-8").splitlines()
    wanted = [line for line in lines if line[:1] not in "#"]
    key = [sys.version, *wanted]
    if FOUND.exists():
        found = json.loads(FOUND.read_text("utf-8"))
        if found["key"] == key:
            return found["versions"]
    if ENVIRONMENT.exists():
        shutil.rmtree(ENVIRONMENT)
    venv.create(ENVIRONMENT, with_pip=True)
    while (done := pip("install", "--quiet", *wanted, "nbval")).returncode:
        absent = ABSENT.search(done.stderr)
        if not absent or "==".join(absent.groups()) not in wanted:
            sys.exit(done.stderr)
        name, version = absent.groups()
        wanted[wanted.index(f"{name}=={version}")] = name
    versions = installed()
    FOUND.write_text(json.dumps({"key": key, "versions": versions}), encoding="utf-8")
    return versions


def print_versions(versions: dict[str, str]) -> None:
    """Print which versions of the list are there, and which are others."""
    listed = dict(re.findall(r"^([\w.-]+)==(\S+)$", CONSTRAINTS.read_text("utf-8"), re.MULTILINE))
    same = [
        f"{name} {colabs}" for name, colabs in listed.items() if versions[name.lower()] == colabs
    ]
    print(f"Python {sys.version.split()[0]}; {len(same)} of {len(listed)} versions are Colab's:")
    print(", ".join(same))
    for name, colabs in listed.items():
        if versions[name.lower()] != colabs:
            print(f"NOT COLAB'S: {name} {versions[name.lower()]}, Colab has {colabs}")
    sys.stdout.flush()


def as_repository(folder: Path, branch: str) -> None:
    """Commit this checkout's files, with what is not committed yet, to a repository of its own."""

    def git(*arguments: str, within: Path = folder) -> str:
        command = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", *arguments]
        done = subprocess.run(command, cwd=within, check=True, capture_output=True, text=True)
        return done.stdout

    names = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", within=ROOT)
    git("init", "--quiet", f"--initial-branch={branch}")
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    git("add", "--all")
    git("commit", "--quiet", "--message", "as it is here")
    git("config", "uploadpack.allowFilter", "true")


def run_setup_cell(notebook: Path, versions: dict[str, str]) -> None:
    """Execute a notebook's setup cell as in Colab; exit if it fails or moves a version."""
    added = set(installed()) - set(versions)
    if added:
        pip("uninstall", "--yes", *added)
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    setup = "".join(next(cell["source"] for cell in cells if cell["cell_type"] == "code"))
    address = ADDRESS.search(setup)
    if not address:
        sys.exit(f"{notebook.name}: its first code cell does not install the book")
    with tempfile.TemporaryDirectory() as scratch:
        repository = Path(scratch, "repository")
        repository.mkdir()
        url, branch = address.groups()
        as_repository(repository, branch)
        program = Path(scratch, "setup.ipy")
        program.write_text(PRETEND + setup, encoding="utf-8")
        start = time.perf_counter()
        done = subprocess.run(
            [PYTHON, "-m", "IPython", "--colors=NoColor", program],
            cwd=scratch,
            env=environment()
            | {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"url.{repository.as_uri()}.insteadOf",
                "GIT_CONFIG_VALUE_0": url,
                "IPYTHONDIR": str(Path(scratch, "ipython")),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - start
    after = installed()
    printed = f"{done.stdout}{done.stderr}"
    if done.returncode or "Traceback" in printed or "ERROR" in printed or "deepinside" not in after:
        sys.exit(f"{notebook.name}: the setup cell failed\n{printed}")
    moved = {name for name in versions if after.get(name) != versions[name]}
    if moved:
        sys.exit(f"{notebook.name}: its setup cell moved {', '.join(sorted(moved))}")
    new = ", ".join(sorted(set(after) - set(versions)))
    print(f"{notebook.name}: set up in {seconds:.0f} s with the imports; new: {new}", flush=True)


def environment() -> dict[str, str]:
    """Return this process's environment, but with the packages of `.venv-colab` alone."""
    here = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    here |= {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # the debugger is not of interest here
    return here | {"PATH": f"{PYTHON.parent}{os.pathsep}{here['PATH']}"}


def main() -> int:
    """Do all of it; return 1 if anything is other than in the committed notebooks."""
    named = [Path(name).resolve() for name in sys.argv[1:]]
    notebooks = named or sorted([*ROOT.glob("book/*.ipynb"), *ROOT.glob("classroom/**/*.ipynb")])
    versions = make_environment()
    print_versions(versions)
    failed = []
    for path in [*notebooks, *(() if named else TESTS)]:
        if path.suffix == ".ipynb":
            run_setup_cell(path, versions)
        command = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", path]
        if subprocess.run(command, cwd=ROOT, env=environment(), check=False).returncode:
            failed.append(path.name)
    print(f"failed: {', '.join(failed)}" if failed else "all as committed")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
