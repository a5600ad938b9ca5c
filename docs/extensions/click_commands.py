"""The directive ``click-commands``: every command of ``udg``, with its options and help.

The text is click's own, so the page says what ``--help`` says.
"""

import importlib
import inspect
from typing import Any

import click
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.parsing import nested_parse_to_nodes


def described(group: Any, name: str) -> list[str]:
    """reStructuredText about all commands of a group, whose options stand under headings."""
    lines = []
    for command_name, command in sorted(group.commands.items()):
        title = f"{name} {command_name}"
        context = click.Context(command, info_name=title)
        usage = " ".join(command.collect_usage_pieces(context))
        lines += [title, "-" * len(title), "", f".. program:: {title}", ""]
        lines += [*_escaped(inspect.cleandoc(command.help or "")).splitlines(), ""]
        lines += [".. code-block:: console", "", f"   $ {title} {usage}", ""]
        # The text above explains arguments.
        for heading, records in command.sections(context).items():
            lines += [f".. rubric:: {_escaped(heading)}", ""]
            for names, text in records:
                names = names.replace(" / ", ", ")
                lines += [f".. option:: {names}", "", f"   {_escaped(text)}", ""]
    return lines


def _escaped(text: str) -> str:
    """What click prints as it is must not be markup."""
    text = text.replace("\b\n", "")
    return "".join("\\" + letter if letter in "\\*`|_" else letter for letter in text)


class ClickCommands(SphinxDirective):
    """``.. click-commands:: module:group``, followed by the program's name."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        """Parse what `described` says as part of the page."""
        module, group = self.arguments[0].split(":")
        source: Any = getattr(importlib.import_module(module), group)
        lines = StringList(described(source, self.arguments[1]), source=module)
        return nested_parse_to_nodes(self.state, lines, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("click-commands", ClickCommands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
