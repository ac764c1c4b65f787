"""The page of an audit: what is wrong or odd with a data set, with pictures, offline."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from vfseg.audit import Audit, Finding
from vfseg.audit.figures import draw_places
from vfseg.audit.findings import SEVERITIES
from vfseg.audit.tables import Table, lesion_table, prevalence_table, spacing_table
from vfseg.data.attribution import ATTRIBUTION_MARGIN_MM
from vfseg.data.cases import Case
from vfseg.drawing.figures import Picture
from vfseg.drawing.page import write_html
from vfseg.errors import UserError, quantity
from vfseg.stopping import STOP

_MOST_PICTURES = 40
_MOST_OF_CASE = 3


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
    page = directory / "index.html"
    write_html(
        page,
        "vfseg.audit",
        "audit.html.j2",
        kind="audit",
        title="audit",
        verdict=_verdict(audit),
        counts=_counts(audit),
        serious=[finding for finding in audit.findings if finding.severity != "note"],
        notes=[finding for finding in audit.findings if finding.severity == "note"],
        tables=_tables(audit),
        pictures=pictures,
        anchors={case_id: f"case-{number}" for number, case_id in enumerate(pictures, 1)},
        drawn=sum(map(len, pictures.values())),
        places=len({(f.case_id, f.place) for f in audit.findings if f.place}),
    )
    return page


def _pictures(
    audit: Audit, cases: Sequence[Case], directory: Path, progress: bool
) -> dict[str, list[Picture]]:
    """Pictures by case, for the most serious findings first."""
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
        STOP.after_case(f"{directory} is unfinished; the same command begins the audit anew.")
        try:
            drawn = draw_places(files[case_id], wanted[case_id], directory, f"case-{number}")
        except UserError:  # the CT cannot be read: the finding says so
            continue
        pictures[case_id] = drawn
    return pictures


def _verdict(audit: Audit) -> str:
    if not audit.usable:
        return "No case can be used as it is."
    if audit.count("error"):
        return "Mend the errors before training: results would be wrong, or cases are left out."
    return "No error was found. Look at the warnings before training."


def _counts(audit: Audit) -> list[list[str]]:
    """Number and name of what there is."""
    counts = [quantity(len(audit.cases), "case"), f"{len(audit.usable)} usable"]
    counts += [quantity(audit.count(severity), severity) for severity in SEVERITIES]
    return [words.split() for words in counts]


def _tables(audit: Audit) -> list[tuple[str, Table, str]]:
    """Title of each table, the table, and what to know about it."""
    return [
        (
            "Fractured vertebrae",
            prevalence_table(audit.cases),
            "Counted by the nearest vertebra mask within "
            f"{ATTRIBUTION_MARGIN_MM:g} mm; in brackets where counting every "
            "fracture in the box of a vertebra would give another number.",
        ),
        (
            "Lesions",
            lesion_table(audit.cases),
            "Thickness: of a flat sheet with the same mean depth below its surface.",
        ),
        ("Cases", spacing_table(audit), audit.windows),
    ]
