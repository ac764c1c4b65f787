"""What is wrong or odd with a data set, found from its files before anything is trained on it.

`case` reads each case once and looks at its intensities (`hounsfield`), its levels (`anatomy`) and
its fracture masks (`lesions`); `cohort` compares the cases; `tables` and `text` show the result.
"""

from vfseg.audit.audit import audit_cases
from vfseg.audit.findings import Audit, CaseFacts, Finding, Place
from vfseg.audit.text import audit_text

__all__ = ["Audit", "CaseFacts", "Finding", "Place", "audit_cases", "audit_text"]
