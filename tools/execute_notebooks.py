"""Execute notebooks in place, so that they can be committed: ``make notebooks``.

Keeps cells and their metadata, replaces all outputs, and writes nothing that differs from
one run to the next: no timings, no widgets (their picture and text remain), no version of the
interpreter. The list of a chapter's functions is written anew; the figure that README opens
with is taken out of the saliency chapter.
"""

import base64
import sys
from pathlib import Path

import nbformat
from link_functions import with_links
from nbclient import NotebookClient

BOOK = Path(__file__).resolve().parents[1] / "book"
COVER = "cover"
WIDGET = "application/vnd.jupyter.widget-view+json"


def execute(path: Path) -> None:
    """Run one notebook from its own folder and write it back."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)
    nbformat.write(with_links(notebook) if path.parent == BOOK else notebook, path)
    write_cover(notebook)


def write_cover(notebook: nbformat.NotebookNode) -> None:
    """Write the picture of the cell tagged as cover, if the notebook has one."""
    for cell in notebook.cells:
        if COVER in cell.metadata.get("tags", []):
            jpeg = next(shown["data"]["image/jpeg"] for shown in cell.outputs if "data" in shown)
            (BOOK / "pictures" / "cover.jpg").write_bytes(base64.b64decode(jpeg))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"executing {name}", flush=True)
        execute(Path(name).resolve())
