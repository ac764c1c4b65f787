"""An audit as text for the terminal."""

import textwrap
from collections import defaultdict

from vfseg.audit.findings import SEVERITIES, Audit, Finding
from vfseg.audit.tables import Table, lesion_table, prevalence_table, spacing_table
from vfseg.errors import quantity

_WIDTH = 100
_MOST_LESIONS = 25


def audit_text(audit: Audit) -> str:
    """Findings, errors first, of each kind of note one; then the tables, then the counts."""
    lines = []
    notes: dict[str, list[Finding]] = defaultdict(list)
    for finding in audit.findings:
        if finding.severity == "note":
            notes[finding.kind].append(finding)
        else:
            lines += _lines(finding)
    for of_kind in notes.values():
        lines += _lines(of_kind[0])
        if len(of_kind) > 1:
            lines.append(f"{'':8}and {len(of_kind) - 1} more of this kind, on the page")
    header, lesions = lesion_table(audit.cases)
    for title, table in (
        ("Fractured vertebrae (box: if every fracture in the box counted)",
         prevalence_table(audit.cases)),
        ("Lesions", (header, lesions[:_MOST_LESIONS])),
        ("Cases", spacing_table(audit)),
    ):  # fmt: skip
        if table[1]:
            lines += ["", title, *_columns(table)]
            if table[0] == header and len(lesions) > _MOST_LESIONS:
                lines.append(f"and {len(lesions) - _MOST_LESIONS} more, on the page")
    if audit.windows:
        lines += ["", audit.windows]
    return "\n".join([*lines, "", audit_summary(audit)])


def audit_summary(audit: Audit) -> str:
    """Counts in one line."""
    counts = (quantity(audit.count(severity), severity) for severity in SEVERITIES)
    cases = quantity(len(audit.cases), "case")
    return f"{cases}, {len(audit.usable)} of them usable: {', '.join(counts)}"


def _lines(finding: Finding) -> list[str]:
    about = f"{finding.about}: " if finding.about else ""
    message = textwrap.wrap(
        about + finding.message,
        _WIDTH,
        initial_indent=" " * 8,
        subsequent_indent=" " * 8,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [f"{finding.severity:8}{finding.kind}", *message]


def _columns(table: Table) -> list[str]:
    rows = [table[0], *table[1]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows]
