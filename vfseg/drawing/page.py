"""The frame of the offline pages: head, style, figures."""

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from vfseg import RESEARCH_USE
from vfseg.drawing.figures import Picture

_STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --text: #1d2229; --faint: #5c6672;
  --line: #dde1e6; --link: #0b62c4; --warn: #fff4d6; --warn-text: #5c4300; }
@media (prefers-color-scheme: dark) { :root { --page: #111418; --card: #1a1f25; --text: #e6e9ed;
  --faint: #9aa5b1; --line: #2e353d; --link: #7db7ff; --warn: #3a2f10; --warn-text: #ffdf94; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.2rem; background: var(--page);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .2rem 0 .8rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
a { color: var(--link); }
.note { background: var(--warn); color: var(--warn-text); border-radius: .5rem;
  padding: .7rem 1rem; margin: 0 0 1rem; }
.note strong { display: block; }
.headline, .curves { display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }
.headline div, .curves figure, .scroll, section.case { background: var(--card);
  border: 1px solid var(--line); border-radius: .5rem; }
.headline div { padding: .8rem 1rem; }
.headline b, .headline span { display: block; }
.headline b { font-size: 1.9rem; line-height: 1.2; }
.headline span, figcaption, .faint, nav { color: var(--faint); font-size: .9rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem .8rem; border-top: 1px solid var(--line);
  vertical-align: top; }
thead th { border-top: 0; color: var(--faint); font-size: .85rem; font-weight: 500; }
tbody th { font-weight: 400; }
tr.level th { font-weight: 600; background: var(--page); }
tr.beside td { border-top: 0; padding-top: 0; color: var(--faint); font-size: .9rem; }
figure { margin: 0 0 1rem; }
.curves figure { margin: 0; padding: .4rem; }
.curves img { width: 100%; height: auto; }
section.case { padding: 1rem; margin: 1rem 0; }
section.case h3 { margin: 0 0 .4rem; font-size: 1.05rem; }
section.case figure > div { overflow-x: auto; border-radius: .4rem; background: #0b0d10; }
section.case img { display: block; width: 100%; min-width: 40rem; height: auto; }
section.case img.tall { width: auto; min-width: 0; max-width: 100%; margin: 0 auto; }
@media (max-width: 30rem) { th, td { padding: .35rem .45rem; } body { padding: .8rem; } }
dl { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; margin: 0 0 .8rem; }
dl div { display: flex; gap: .4rem; }
dt { color: var(--faint); }
dd { margin: 0; font-variant-numeric: tabular-nums; }
"""


def document(title: str, parts: Sequence[str]) -> str:
    """A page in HTML that refers to nothing outside; `parts` are HTML, the title is text."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>vfseg report: {escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + f'\n<p class="faint">{escape(RESEARCH_USE)}</p>\n</body>\n</html>\n'
    )


def figure_html(picture: Picture, report: Path) -> str:
    """A picture with its caption, linked from a page in the folder `report`."""
    target, caption = link(picture.path, report), escape(picture.caption)
    kind = ' class="tall"' if picture.tall else ""
    image = f'<img{kind} src="{target}" alt="{caption}" loading="lazy">'
    below = f"<figcaption>{caption}</figcaption>"
    return f'<figure><div><a href="{target}">{image}</a></div>{below}</figure>'


def link(path: Path, folder: Path) -> str:
    """Relative link, safe inside an attribute."""
    return escape(quote(os.path.relpath(path, folder).replace(os.sep, "/")))
