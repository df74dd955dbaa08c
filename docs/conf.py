"""Sphinx configuration: `make docs`."""

from importlib.metadata import version as installed_version

project = "distreg"
author = "The distreg developers"
copyright = "2026, the distreg developers"
release = version = installed_version("distreg")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

napoleon_google_docstring = False
napoleon_use_rtype = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
nitpicky = False

html_theme = "pydata_sphinx_theme"
html_title = "distreg"
html_theme_options = {"show_prev_next": True, "navigation_with_keys": False}
html_show_sourcelink = False
