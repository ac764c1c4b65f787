"""What a browser would find on a page."""

from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Links, texts and table rows of a page; refuses tags that do not nest.

    Args:
        path: of the page.
        language: of the reader; texts in another language are left out.
    """

    def __init__(self, path: Path, language: str = "en"):
        super().__init__()
        self.unmarked = []  # texts that are the same in every language
        self._language, self._marks = language, []
        self.links, self.ids, self.tags, self.rows, self.texts = [], [], [], [], []
        self._open = []
        self.feed(path.read_text())
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.links += [attributes[key] for key in ("href", "src") if key in attributes]
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self._open.append(tag)
            self._marks.append(attributes.get("lang") if tag != "html" else None)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        self._marks.pop()

    def handle_data(self, data):
        if self._open and self._open[-1] in ("style", "script"):
            return
        marks = {mark for mark in self._marks if mark}
        if marks - {self._language}:
            return
        self.texts.append(data)
        if not marks and "body" in self._open:
            self.unmarked.append(data.strip())
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())
