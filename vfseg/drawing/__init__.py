"""What the pages of the audit and of the report have in common."""
