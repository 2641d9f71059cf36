"""What `make` builds for the playground from the sources in web/."""

import re
import shutil
import subprocess

import pytest

SCRIPTS = ("playground.js", "explorers_kernel.js")
LIMITS = {"kernels.wasm": 20_000, "playground.css": 20_000, **dict.fromkeys(SCRIPTS, 150_000)}
IMPORTS = """
const module = new WebAssembly.Module(wasm);
return [WebAssembly.Module.imports(module), WebAssembly.Module.exports(module)];
"""


def test_kernels_import_a_memory_and_nothing_else(in_node, wasm):
    imports, exports = in_node(IMPORTS, wasm=wasm)
    assert imports == [{"module": "env", "name": "memory", "kind": "memory"}]
    assert {given["kind"] for given in exports} <= {"function", "global"}


@pytest.mark.parametrize(("name", "limit"), LIMITS.items())
def test_what_is_loaded_is_small(built_web, name, limit):
    assert (built_web / name).stat().st_size < limit


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_page_s_script_is_a_classic_one_and_names_no_other_host(built_web, node_program, name):
    path = built_web / name
    text = path.read_text("utf-8")
    # a module would fail from the disk; as a function's body, statements of modules are errors
    check = "new Function(require('fs').readFileSync(process.argv[1], 'utf8'))"
    subprocess.run([node_program, "-e", check, path], check=True)
    assert re.findall(r"https?://(?!www\.w3\.org/)[\w.]+", text) == []


@pytest.fixture
def small(tmp_path, root):
    """A folder with the builder and the smallest sources."""
    web = tmp_path / "web"
    sources = {
        "kernels/index.ts": "export function twice(x: f32): f32 { return 2 * x; }",
        "worker.js": 'import kernels from "kernels.wasm"; postMessage(kernels.length);',
        "playground/playground.js": 'import text from "worker-source"; globalThis.worker = text;',
        "playground/playground.css": ".pg { color: red; }",
        "playground/another.css": ".pg { color: blue; }",
        "explorers/explorers.js": 'import text from "worker-source"; globalThis.worker = text;',
    }
    for name, text in sources.items():
        (web / name).parent.mkdir(parents=True, exist_ok=True)
        (web / name).write_text(text)
    shutil.copy(root / "web" / "build.mjs", web)
    (tmp_path / "node_modules").symlink_to(root / "node_modules")
    return web


def built(program, web):
    """Build what is in a folder, and return the process."""
    command = [program, web / "build.mjs", web.parent / "out"]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_worker_is_a_text_in_the_page_s_script_and_the_kernels_are_in_it(small, node_program):
    assert built(node_program, small).returncode == 0
    out = small.parent / "out"
    assert {path.name for path in out.iterdir()} == set(LIMITS)
    # what all panels share comes first
    assert re.findall(r"red|blue|#\w+", (out / "playground.css").read_text()) == ["red", "#00f"]
    # the page's script keeps the worker's; this one tells how long the kernels in it are
    told = "globalThis.postMessage = console.log; (0, eval)(worker);"
    (out / "run.cjs").write_text((out / "playground.js").read_text("utf-8") + told, "utf-8")
    run = subprocess.run([node_program, out / "run.cjs"], capture_output=True, text=True)
    assert run.stdout.strip() == str((out / "kernels.wasm").stat().st_size), run.stderr


@pytest.mark.parametrize("name", ["kernels/index.ts", "worker.js", "playground/playground.js"])
def test_a_source_that_cannot_be_built_is_named(small, node_program, name):
    (small / name).write_text("export function ( {")
    done = built(node_program, small)
    assert done.returncode != 0
    assert name in done.stderr
