# SPDX-License-Identifier: LGPL-3.0-or-later
"""The documentation site: ``make docs`` builds it into docs/_build/html."""

import os
import re
import sys
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from numpydoc import xref
from sphinx.application import Sphinx

from deepmd_charge import __version__
from deepmd_charge.model.keys import Spec, keys_of

HERE = Path(__file__).parent.resolve()
ROOT = HERE.parent

project = "deepmd-charge"
release = __version__
author = "the deepmd-charge developers"
project_copyright = f"{author}, LGPL-3.0-or-later"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"deepmd-charge {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
pygments_style = "tango"
highlight_language = "text"

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4

# Executed pages: each in a temporary folder, and an error is the build's.
nb_execution_mode = "auto"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
# What they find: the commands of this Python, the files of the repository.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
os.environ["DEEPMD_CHARGE_REPOSITORY"] = str(ROOT)
os.environ["PYTHONSTARTUP"] = str(HERE / "_cells.py")
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["MPLBACKEND"] = "agg"

# Types, shapes and units stand in the docstrings.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
xref.DEFAULT_LINKS.clear()  # to the manuals of Python and numpy, which need a network
numpydoc_xref_ignore = "all"  # but for the names below
numpydoc_xref_aliases = {
    "ChargeError": "deepmd_charge.ChargeError",
    "ChargeModel": "deepmd_charge.ChargeModel",
    "Comparison": "deepmd_charge.grid.metrics.Comparison",
    "Density": "deepmd_charge.Density",
    "SeChargeSpec": "deepmd_charge.model.descriptors.se_charge.SeChargeSpec",
    "Grid": "deepmd_charge.grid.grid.Grid",
    "Images": "deepmd_charge.atoms.images.Images",
    "ModelInfo": "deepmd_charge.model.info.ModelInfo",
    "ModelSpec": "deepmd_charge.model.spec.ModelSpec",
    "Neighbors": "deepmd_charge.model.neighbors.Neighbors",
    "Quantity": "deepmd_charge.grid.quantity.Quantity",
    "RadialTable": "deepmd_charge.saed.RadialTable",
    "Weights": "deepmd_charge.model.weights.Weights",
}
# The backend has no page: it is what DeePMD-kit loads, and takes seconds to import.
nitpick_ignore_regex = [("py:.*", r"deepmd_charge\.backends\..*")]

# Files outside this folder that are pages here.
PAGES = {
    ROOT / "README.md": HERE / "index.md",
    ROOT / "benchmarks/README.md": HERE / "benchmarks.md",
    ROOT / "CONTRIBUTING.md": HERE / "contributing.md",
    ROOT / "CHANGELOG.md": HERE / "changelog.md",
}


def links_of_page(text: str, path: Path, docname: str) -> str:
    """Point the links of a file of the repository to the pages of the site.

    Parameters
    ----------
    text : str
        Of the file, whose links work where the repository is read.
    path : Path
        The file.
    docname : str
        The page that it is part of.

    Returns
    -------
    str
    """
    folder = (HERE / docname).parent

    def link(match: re.Match[str]) -> str:
        target = (path.parent / match[1]).resolve()
        return f"]({os.path.relpath(PAGES.get(target, target), folder)}"

    return re.sub(r"\]\((?!\w+:)([^)#\s]+)", link, text)


def keys_as_attributes(
    app: Sphinx, what: str, name: str, spec: Any, options: Any, lines: list[str]
) -> None:
    """Add the keys of a specification, which know their documentation, to its docstring."""
    if what == "class" and issubclass(spec, Spec) and is_dataclass(spec) and keys_of(spec):
        lines += ["", "Attributes", "----------"]
        for key in keys_of(spec):
            kind = key.kind.__name__ if isinstance(key.kind, type) else str(key.kind)
            lines += [f"{key.name} : {kind}", f"    {key.doc}"]


def setup(app: Sphinx) -> None:
    """Let the pages, and what they include, have their links, and the specifications their keys."""

    def page(app: Sphinx, docname: str, content: list[str]) -> None:
        content[0] = links_of_page(content[0], Path(app.env.doc2path(docname)), docname)

    def included(app: Sphinx, path: Path, docname: str, content: list[str]) -> None:
        content[0] = links_of_page(content[0], HERE / path, docname)

    app.connect("source-read", page)
    app.connect("include-read", included)
    app.connect("autodoc-process-docstring", keys_as_attributes, priority=400)  # before numpydoc
