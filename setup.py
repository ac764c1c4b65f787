"""The long description of the package is the README without what works in a clone alone.

Relative links become their words, and pictures are left out. All else stands in pyproject.toml.
"""

import re
from pathlib import Path

from setuptools import setup

RELATIVE = r"\((?![a-z]+:)[^)]*\)"
NOTE = "\n\nThe pages that are named here come with the source distribution.\n"

text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
text = re.sub(rf"!\[[^\]]*\]{RELATIVE}\n\n", "", text)
text = re.sub(rf"\[([^\]]*)\]{RELATIVE}", r"\1", text)

setup(
    long_description=text.rstrip() + NOTE,
    long_description_content_type="text/markdown",
)
