"""The page of an audit: what is wrong or odd with a data set, with pictures, offline."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from tqdm import tqdm

from vfseg import RESEARCH_USE
from vfseg.audit import Audit, Finding
from vfseg.audit.figures import draw_places
from vfseg.audit.findings import SEVERITIES
from vfseg.audit.tables import Table, lesion_table, prevalence_table, spacing_table
from vfseg.data.cases import Case
from vfseg.drawing.figures import Picture
from vfseg.drawing.page import document, figure_html
from vfseg.errors import UserError
from vfseg.files import atomic_file

_MOST_PICTURES = 40
_MOST_OF_CASE = 3
_STYLE = """<style>
.headline { grid-template-columns: repeat(auto-fit, minmax(7rem, 1fr)); }
td.severity { white-space: nowrap; font-weight: 600; }
tr.error td.severity { color: #c62828; }
tr.warning td.severity { color: #a06000; }
tr.note td.severity { color: var(--faint); }
@media (prefers-color-scheme: dark) { tr.error td.severity { color: #ff8a80; }
  tr.warning td.severity { color: #ffd166; } }
td.about { white-space: nowrap; }
td.message { overflow-wrap: anywhere; min-width: 18rem; }
.cells td, .cells th { white-space: nowrap; }
summary { cursor: pointer; padding: .5rem 0; color: var(--faint); }
@media (max-width: 40rem) { .findings thead { display: none; }
  .findings tr { display: block; border-top: 1px solid var(--line); padding: .4rem 0; }
  .findings td { display: inline-block; border: 0; padding: .1rem .45rem; white-space: normal; }
  .findings td.message { display: block; min-width: 0; } }
</style>"""


def write_audit_page(
    audit: Audit, cases: Sequence[Case], directory: Path, *, progress: bool = True
) -> Path:
    """Writes `index.html` and the pictures of the findings, in place of older ones.

    Reads the offending cases again, one at a time. The page refers to nothing outside its folder
    and holds no script.

    Args:
        audit: of these cases.
        cases: of the manifest.
        directory: `WORKDIR/audit`; made if missing.
        progress: show a bar (only on a terminal).

    Returns:
        Path of the page.

    Raises:
        UserError: the page cannot be written.
    """
    for old in directory.glob("case-*-*.png"):
        old.unlink()
    pictures = _pictures(audit, cases, directory, progress)
    anchors = {case_id: f"case-{i}" for i, case_id in enumerate(pictures, 1)}
    parts = [
        _STYLE,
        "<h1>Audit of the data set</h1>",
        f'<p class="note"><strong>{escape(RESEARCH_USE)}</strong>{escape(_words(audit))}</p>',
        _cards(audit),
        *_findings(audit, anchors),
        *_tables(audit),
        *_cases(audit, pictures, anchors, directory),
    ]
    page = directory / "index.html"
    with atomic_file(page) as file:
        file.write(document("audit", parts).encode())
    return page


def _pictures(
    audit: Audit, cases: Sequence[Case], directory: Path, progress: bool
) -> dict[str, list[Picture]]:
    """Pictures by case, for the gravest findings first."""
    wanted: dict[str, list[Finding]] = defaultdict(list)
    count = 0
    for finding in audit.findings:
        own = wanted[finding.case_id] if finding.place else []
        new = finding.place not in [other.place for other in own]
        if finding.place and new and len(own) < _MOST_OF_CASE and count < _MOST_PICTURES:
            own.append(finding)
            count += 1
    files = {case.case_id: case for case in cases}
    pictures = {}
    shown = [case_id for case_id, own in wanted.items() if own]
    for number, case_id in enumerate(
        tqdm(shown, "pictures", unit="case", disable=None if progress else True), 1
    ):
        try:
            drawn = draw_places(files[case_id], wanted[case_id], directory, f"case-{number}")
        except UserError:  # the CT cannot be read: the finding says so
            continue
        pictures[case_id] = drawn
    return pictures


def _words(audit: Audit) -> str:
    errors = audit.count("error")
    if not audit.usable:
        return "No case can be used as it is."
    if errors:
        return "Mend the errors before training: results would be wrong, or cases are left out."
    return "No error was found. Look at the warnings before training."


def _cards(audit: Audit) -> str:
    values = [("cases", len(audit.cases)), ("usable", len(audit.usable))]
    values += [(f"{severity}s", audit.count(severity)) for severity in SEVERITIES]
    cards = "".join(f"<div><b>{value}</b><span>{name}</span></div>" for name, value in values)
    return f'<div class="headline">{cards}</div>'


def _findings(audit: Audit, anchors: Mapping[str, str]) -> list[str]:
    grave = [finding for finding in audit.findings if finding.severity != "note"]
    notes = [finding for finding in audit.findings if finding.severity == "note"]
    parts = ["<h2>Findings</h2>"]
    parts.append(_finding_table(grave, anchors) if grave else "<p>Nothing is wrong or odd.</p>")
    if notes:
        words = f"{len(notes)} note{'' if len(notes) == 1 else 's'}"
        table = _finding_table(notes, anchors)
        parts.append(f"<details><summary>{words}</summary>{table}</details>")
    return parts


def _finding_table(findings: Sequence[Finding], anchors: Mapping[str, str]) -> str:
    rows = []
    for finding in findings:
        about = escape(finding.about or "data set")
        if finding.place and finding.case_id in anchors:
            about = f'<a href="#{anchors[finding.case_id]}">{about}</a>'
        rows.append(
            f'<tr class="{escape(finding.severity)}">'
            f'<td class="severity">{escape(finding.severity)}</td><td>{escape(finding.kind)}</td>'
            f'<td class="about">{about}</td><td class="message">{escape(finding.message)}</td></tr>'
        )
    head = "<tr><th>severity</th><th>kind</th><th>about</th><th>found</th></tr>"
    return (
        f'<div class="scroll findings"><table><thead>{head}</thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _tables(audit: Audit) -> list[str]:
    parts = []
    for title, words, table in (
        (
            "Fractured vertebrae",
            "Counted by the nearest vertebra mask within 2 mm; in brackets where counting every "
            "fracture in the box of a vertebra would give another number.",
            prevalence_table(audit.cases),
        ),
        (
            "Lesions",
            "Thickness: of a flat sheet with the same mean depth below its surface.",
            lesion_table(audit.cases),
        ),
        ("Cases", audit.windows, spacing_table(audit)),
    ):
        parts.append(f"<h2>{title}</h2>")
        if not table[1]:
            parts.append("<p>None.</p>")
            continue
        parts.append(_table(table))
        if words:
            parts.append(f'<p class="faint">{escape(words)}</p>')
    return parts


def _table(table: Table) -> str:
    header, rows = table
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return (
        f'<div class="scroll cells"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cases(
    audit: Audit,
    pictures: Mapping[str, Sequence[Picture]],
    anchors: Mapping[str, str],
    directory: Path,
) -> list[str]:
    if not pictures:
        return []
    wanted = len({(f.case_id, f.place) for f in audit.findings if f.place})
    drawn = sum(map(len, pictures.values()))
    parts = ["<h2>Pictures</h2>"]
    if drawn < wanted:
        parts.append(f'<p class="faint">{drawn} of {wanted} places, the gravest first.</p>')
    for case_id, own in pictures.items():
        figures = "".join(figure_html(picture, directory) for picture in own)
        parts.append(
            f'<section class="case" id="{anchors[case_id]}"><h3>{escape(case_id)}</h3>{figures}'
            "</section>"
        )
    return parts
