"""Sphinx builds the documentation: `make docs`."""

project = "SoMo"
author = "SoMo developers"
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "alabaster"
exclude_patterns = ["_build"]
# Links to code point at files of the repository, which the built pages do not hold.
suppress_warnings = ["myst.xref_missing"]
