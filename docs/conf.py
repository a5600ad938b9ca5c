"""Settings of Sphinx. ``python -m sphinx -W --keep-going -n docs docs/_build/html`` builds all."""

import sys
import warnings
from importlib import import_module
from pathlib import Path

import udg

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(Path(__file__).parent / "extensions"))

import own_names  # noqa: E402  (of the folder extensions)

# `udg.plot` is a name of `udg.viz.plot`; Sphinx imports what it documents by the module's name.
sys.modules["udg.plot"] = udg.plot

project = "udg"
author = "the udg authors"
version = release = udg.__version__
project_copyright = author

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "click_commands",
    "mathml",
    "one_place",
    "own_names",
    "stands_alone",
]
exclude_patterns = ["_build", "auto_examples/**.ipynb", "auto_examples/**.py.md5"]
templates_path = ["_templates"]
smartquotes = False  # they would make -- of an option a dash
suppress_warnings = ["config.cache"]  # the gallery's sorting key is a function

# Docstrings: `name` in them is a link where there is such an object, and emphasised where not.
default_role = "autolink"
autosummary_generate = True
autosummary_context = {"properties": own_names.properties}
autodoc_typehints = "none"  # numpydoc's sections have the types, in words
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"  # but what is ours
numpydoc_xref_aliases = {
    name: f"{module}.{name}"
    for module in ("udg", "udg.net")
    for name in import_module(module).__all__
    if isinstance(getattr(import_module(module), name), type)
}

# Pages in Markdown
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3
math_renderer = html_math_renderer = "mathml"

# The gallery: every script of examples/ is run.
sphinx_gallery_conf = {
    "examples_dirs": str(ROOT / "examples"),
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"\.py",
    "within_subsection_order": "examples.teaching_order",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "reset_modules": ("matplotlib", "examples.plain_figures"),
    "image_scrapers": ("matplotlib",),
    "abort_on_example_error": False,
    "plot_gallery": True,
    "doc_module": ("udg",),
    "inspect_global_variables": False,
    "nested_sections": False,
    "copyfile_regex": r"(?!)",
    "write_computation_times": False,
}
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")

html_theme = "pydata_sphinx_theme"
html_title = f"udg {release}"
html_static_path = ["_static"]
html_css_files = ["udg.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "header_links_before_dropdown": 7,
}
