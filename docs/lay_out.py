"""Lays the site of the documentation out like the repository, see `mkdocs.yml`.

So a relative link, of a page to another page, a picture or a file of the repository, is right on a
code host and in the site, which needs no links of its own.
"""

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_LINK = re.compile(r"\]\(([^)#\s]+)")
_REFERENCE = re.compile(r"<!-- reference: (\S+) -->")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The README, the pages of `docs/`, and every file that one of them links to.

    Args:
        files: those of `docs/`, which move, and of the theme, which stay.
        config: of the site.
    """
    docs, root = Path(config.docs_dir), Path(config.config_file_path).parent
    laid_out = Files([file for file in files if file.src_dir != str(docs)])
    kinds = ("*.md", "*.ipynb")
    waiting = [root / "README.md", *(path for kind in kinds for path in docs.glob(kind))]
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop().resolve()
        if path in seen or not path.is_file():  # MkDocs says which link leads nowhere
            continue
        seen.add(path)
        name = path.relative_to(root).as_posix()
        laid_out.append(File.generated(config, name, abs_src_path=str(path)))
        if path.suffix == ".ipynb":
            text = notebook_page(path)
            page = str(Path(name).with_suffix(".md"))
            laid_out.append(File.generated(config, page, content=text))
        elif path.suffix == ".md":
            links = _LINK.findall(path.read_text())
            waiting += [path.parent / link for link in links if "://" not in link]
    return laid_out


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """References take the place of their comments; links to a notebook lead to its page."""
    markdown = _REFERENCE.sub(r"::: \1", markdown)
    if page.file.src_uri.endswith("tutorial.md"):  # which links to its notebook
        return markdown
    return markdown.replace(".ipynb)", ".md)")


def notebook_page(path: Path) -> str:
    """A notebook as Markdown: its texts, and its code in fences."""
    texts = [f"*This page is a notebook: [{path.name}]({path.name}).*"]
    for cell in json.loads(path.read_text())["cells"]:
        text = "".join(cell["source"])
        texts.append(f"```python\n{text}\n```" if cell["cell_type"] == "code" else text)
    # A title comes first on a page.
    texts[:2] = texts[1::-1]
    return "\n\n".join(texts) + "\n"
