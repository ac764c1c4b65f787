"""Vertebrae found from the CT alone; `docs/find.md` says how, and how well."""
