"""Copy KaTeX's style sheet and fonts into a folder: ``make book``.

The fonts that the book's formulas need are put into the sheet itself. A page is so painted with
them at once, and its lines do not move when they arrive.
"""

import base64
import re
import shutil
import sys
from pathlib import Path

KATEX = Path(__file__).resolve().parents[1] / "node_modules" / "katex"
WITHIN = (
    "KaTeX_Main-Regular",
    "KaTeX_Math-Italic",
    # parentheses and sums
    "KaTeX_Size1-Regular",
    "KaTeX_Size2-Regular",
)


def style(dist: Path) -> str:
    """Return the style sheet with fonts as WOFF2 alone, some of them within it."""
    text = (dist / "katex.min.css").read_text("utf-8")
    text = re.sub(r",url\([^)]*\.(?:woff|ttf)\) format\(\"[^\"]*\"\)", "", text)
    for name in WITHIN:
        font = base64.b64encode((dist / "fonts" / f"{name}.woff2").read_bytes()).decode("ascii")
        text = text.replace(f"url(fonts/{name}.woff2)", f"url(data:font/woff2;base64,{font})")
    return text


def main() -> None:
    """Write sheet, fonts and license into the folder that is named."""
    folder = Path(sys.argv[1])
    (folder / "fonts").mkdir(parents=True, exist_ok=True)
    for font in (KATEX / "dist" / "fonts").glob("*.woff2"):
        if font.stem not in WITHIN:
            shutil.copy(font, folder / "fonts")
    shutil.copy(KATEX / "LICENSE", folder)
    (folder / "katex.min.css").write_text(style(KATEX / "dist"), "utf-8")


if __name__ == "__main__":
    main()
