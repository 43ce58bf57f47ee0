"""Print the whole book as one tagged PDF with an outline: _build/looking-inside-a-vision-model.pdf.

    python tools/make_pdf.py

Needs the package playwright and a chromium. The text comes from Sphinx's builder for a single page, out of the same
cache as the site, so nothing runs again.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FOOTER = (
    '<div style="width:100%;font-size:8px;color:#777;text-align:center">'
    '<span class="pageNumber"></span> / <span class="totalPages"></span></div>'
)
MARGINS = {"top": "18mm", "bottom": "18mm", "left": "17mm", "right": "17mm"}


def main(source: str = str(ROOT)) -> int:
    """Build the single page and print it; return 1 where that cannot be done."""
    root = Path(source).resolve()
    command = [Path(sys.executable).with_name("jupyter-book"), "build", root, "--builder", "singlehtml", "-q"]
    if subprocess.run(command, check=False).returncode:
        print("The book could not be put on one page; the reason stands above.", file=sys.stderr)
        return 1
    folder = root / "_build" / "singlehtml"
    # The builder writes addresses as seen from the folder of the site, whatever the folder of the first page is.
    page = folder / "whole-book.html"
    written = max(folder.glob("*/*.html"), key=lambda file: file.stat().st_size).read_text(encoding="utf-8")
    page.write_text(written.replace('="../_images/', '="_images/'), encoding="utf-8")
    target = root / "_build" / "looking-inside-a-vision-model.pdf"
    _print(page, target)
    print(f"The book on paper: file://{target}")
    return 0


def _print(page: Path, target: Path) -> None:
    from playwright.sync_api import sync_playwright

    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    temporary = target.with_suffix(".part")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        tab = browser.new_page(color_scheme="light", java_script_enabled=False)
        tab.goto(page.as_uri(), wait_until="load", timeout=120_000)
        options = {
            "display_header_footer": True,
            "header_template": "<span></span>",
            "footer_template": FOOTER,
        }
        tab.pdf(
            path=temporary,
            format="A4",
            margin=MARGINS,
            print_background=True,
            tagged=True,
            outline=True,
            **options,
        )
        browser.close()
    temporary.replace(target)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
