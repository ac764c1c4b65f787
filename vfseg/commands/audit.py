"""Mode `audit`: reads the data set and says what is wrong with it; writes nothing but `audit/`."""

from vfseg import processes
from vfseg.audit import audit_cases, audit_text
from vfseg.audit.page import write_audit_page
from vfseg.commands.workdir import Run
from vfseg.errors import UserError


def audit(run: Run) -> None:
    """Audits the cases of a run; the first of several processes does it alone.

    Raises:
        UserError: no case can be used.
    """
    if not processes.is_first():
        return
    cases, left_out = run.found
    found = audit_cases(cases, run.config.prepare, windows=run.config.windows, left_out=left_out)
    page = write_audit_page(found, cases, run.workdir / "audit")
    print(audit_text(found))
    print(f"audit: {page}")
    if not found.usable:
        raise UserError(f"no case can be used as it is: see {page}, and mend the errors.")
