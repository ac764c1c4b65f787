"""The audit of a data set: every case by itself, then the cases against each other."""

from collections.abc import Sequence

from tqdm import tqdm

from vfseg.audit.case import examine_case
from vfseg.audit.cohort import examine_cohort
from vfseg.audit.findings import SEVERITIES, Audit, Finding
from vfseg.crops.settings import PrepareSettings, WindowSettings
from vfseg.data.cases import Case
from vfseg.data.discovery import is_left_out
from vfseg.data.instances import instances_are_marked
from vfseg.data.patients import is_about_patients
from vfseg.data.settings import PLANE_AXES
from vfseg.stopping import STOP


def audit_cases(
    cases: Sequence[Case],
    settings: PrepareSettings,
    progress: bool = True,
    *,
    windows: WindowSettings | None = None,
    left_out: Sequence[str] = (),
) -> Audit:
    """Finds what is wrong or odd with the cases; changes nothing.

    The voxels of one case at a time are in memory. A case whose files cannot be read is a finding,
    and the others go on. A CT is read a second time only where a smaller one has its affine, a
    fracture mask only until one tells fractures apart: what one fracture is depends on all of them.

    Args:
        cases: of the manifest.
        settings: how crops are going to be cut.
        progress: show a bar (only on a terminal).
        windows: how windows are going to be drawn; the audit then says what they see.
        left_out: what `find_cases` or `check_manifest` says; cases that they left out are errors,
            patients that may be one are warnings, what they assumed or did not use are notes.
    """
    facts = []
    found = [_of_data_set(message) for message in left_out]
    silent = None if progress else True
    marked = instances_are_marked(tqdm(cases, "fracture masks", unit="case", disable=silent))
    for case in tqdm(cases, "audit", unit="case", disable=silent):
        STOP.after_case("Nothing of this audit is kept; the same command begins it anew.")
        of_case, findings = examine_case(case, settings, marked=marked)
        facts.append(of_case)
        found += findings
    reach = 0.0
    words = ""
    planes: tuple[str, ...] = ()
    if windows is not None:
        planes = windows.planes
        step = windows.stride(settings.voxel_spacing) * settings.voxel_spacing
        reach = windows.length // 2 * step
        words = (
            f"{windows.length} {' or '.join(planes)} slices, {step:g} mm apart, see ±{reach:g} mm "
            "around the middle one (config.windows.length, stride_mm); beside each case, how many "
            "of its own slices that spans."
        )
    axes = [PLANE_AXES[plane] for plane in planes]
    found = [*examine_cohort(facts, {c.case_id: c.ct for c in cases}, axes, reach), *found]
    found.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Audit(tuple(found), tuple(facts), words, planes, reach)


def _of_data_set(message: str) -> Finding:
    if is_left_out(message):
        return Finding("error", "left_out", message)
    if is_about_patients(message):
        return Finding("warning", "leak", message)
    return Finding("note", "data_set", message)
