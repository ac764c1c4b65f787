"""An audit as text for the terminal."""

import textwrap

from vfseg.data.audit.findings import SEVERITIES, Audit
from vfseg.data.audit.tables import Table, lesion_table, prevalence_table, spacing_table

_WIDTH = 100
_MOST_NOTES = 20
_MOST_LESIONS = 25


def audit_text(audit: Audit) -> str:
    """Findings, errors first, then the tables, then the counts."""
    lines = []
    notes = 0
    for finding in audit.findings:
        notes += finding.severity == "note"
        if notes > _MOST_NOTES:
            lines.append(f"and {audit.count('note') - _MOST_NOTES} more notes, on the page")
            break
        head = f"{finding.severity:8}{finding.kind}"
        about = f"{finding.about}: " if finding.about else ""
        lines += [
            head,
            *textwrap.wrap(
                about + finding.message,
                *(_WIDTH,),
                initial_indent=" " * 8,
                subsequent_indent=" " * 8,
                break_long_words=False,
                break_on_hyphens=False,
            ),
        ]
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
    counts = (f"{n} {severity}{'' if n == 1 else 's'}" for severity in SEVERITIES
              for n in [audit.count(severity)])  # fmt: skip
    return f"{len(audit.cases)} cases, {len(audit.usable)} of them usable: {', '.join(counts)}"


def _columns(table: Table) -> list[str]:
    rows = [table[0], *table[1]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows]
