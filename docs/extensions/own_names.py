"""References in docstrings: to where an object is documented, not to where it is defined.

`Weights` is defined in `udg.model.energy` and documented as `udg.Weights`; docstrings call it by
its bare name, in either module. What is said of a constant stands above it, where it is defined.
"""

import inspect
import sys
from functools import cached_property
from pydoc import locate
from typing import Any

from numpydoc.xref import DEFAULT_LINKS
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer


def _documented(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: Any) -> Any:
    """The reference that Sphinx did not find, if the object has another name."""
    target, module = node["reftarget"], node.get("py:module")
    if node.get("refdomain") != "py":
        return None
    wanted = locate(f"{module}.{target}") or locate(target)
    last = target.rpartition(".")[2]
    for name in (f"udg.{last}", f"udg.net.{last}", _defined(wanted)):
        if wanted is not None and locate(name) is wanted:
            python = env.domains.python_domain
            found = python.resolve_any_xref(env, node["refdoc"], app.builder, name, node, content)
            if found:
                return found[0][1]
    field_or_argument = "." not in target and (node.get("py:class") or inspect.ismodule(wanted))
    return content if field_or_argument else None


def _defined(thing: Any) -> str:
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '')}"


def _constant(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """A constant's own comment (``#:``) instead of its type's docstring."""
    if what != "data":
        return
    last = name.rpartition(".")[2]
    for module in [m for m in sys.modules if m.startswith("udg.") or m == "udg"]:
        source = getattr(sys.modules[module], "__file__", None)
        if source and last in vars(sys.modules[module]):
            comments = ModuleAnalyzer.for_module(module).find_attr_docs()
            if ("", last) in comments:
                lines[:] = comments["", last]


def properties(module: str, name: str) -> list[str]:
    """Properties of a class, cached ones included, for its page."""
    members = vars(getattr(sys.modules[module], name))
    return [n for n, m in members.items() if isinstance(m, property | cached_property)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Ask here for what was not found, and before numpydoc reads a docstring."""
    DEFAULT_LINKS.clear()  # to Python's and NumPy's pages
    app.connect("missing-reference", _documented)
    app.connect("autodoc-process-docstring", _constant, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
