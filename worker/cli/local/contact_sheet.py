"""One HTML page with all pictures and videos of a folder, with relative links: the folder can be moved."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from worker.cli.local.demo_files import SavedFile

NAME = "index.html"

_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>photogpt-worker demo</title>
<style>
  body {{ margin: 2rem; font: 15px/1.5 system-ui, sans-serif; background: #f6f6f4; color: #222 }}
  main {{ display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)) }}
  figure {{ margin: 0; background: #fff; border: 1px solid #ddd; border-radius: 6px; overflow: hidden }}
  img, video {{ display: block; width: 100%; aspect-ratio: 1; object-fit: contain; background: #16181e }}
  figcaption {{ padding: .7rem 1rem; overflow-wrap: anywhere }}
  small {{ color: #666 }}
</style>
<h1>{count} files of the demo</h1>
<main>
{figures}
</main>
</html>
"""
_FIGURE = """<figure>
<a href="{link}">{medium}</a>
<figcaption><b>{title}</b><br>{prompt}<br>
<small>job {job_id}<br>{generation_id} at PhotoGPT<br>{type}, {size:,} bytes</small></figcaption>
</figure>"""


def write_contact_sheet(folder: Path, files: Sequence[SavedFile]) -> Path:
    """Write the page into the folder and return its path."""
    figures = "\n".join(_figure(file) for file in files)
    path = folder / NAME
    path.write_text(_PAGE.format(count=len(files), figures=figures), encoding="utf-8")
    return path


def _figure(file: SavedFile) -> str:
    link = quote(file.name)
    medium = f'<img src="{link}" alt="{escape(file.prompt)}">'
    if file.content_type.startswith("video/"):
        medium = f'<video src="{link}" controls muted loop></video>'
    return _FIGURE.format(
        link=link,
        medium=medium,
        title=escape(file.title if file.kind == file.title else f"{file.title}: {file.kind}"),
        prompt=escape(file.prompt),
        job_id=escape(file.job_id),
        generation_id=escape(file.generation_id),
        type=escape(file.content_type),
        size=file.size,
    )
