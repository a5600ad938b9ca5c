"""Tables for the terminal that can be put into a README as they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


def same_pictures(
    scores: Mapping[str, Collection[str]],
) -> list[tuple[list[str], list[str]]]:
    """Group methods so that all in a group have done the same pictures, the most pictures first.

    `scores` holds the methods that have done each picture. For every choice of pictures that some
    method has done, there is a group with all methods that have done all of them.
    """
    done: dict[str, set[str]] = {}
    for picture, names in scores.items():
        for name in names:
            done.setdefault(name, set()).add(picture)
    return [
        (sorted(chosen), [name for name in done if chosen <= done[name]])
        for chosen in sorted({frozenset(found) for found in done.values()}, key=lambda s: -len(s))
    ]


@dataclass
class Table:
    """A title, headings, and rows of text; the first column is aligned left, numbers right."""

    title: str
    headings: list[str]
    rows: list[list[str]] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        """Add a row."""
        if len(cells) != len(self.headings):
            raise ValueError(f"{len(cells)} cells for {len(self.headings)} headings")
        self.rows.append([str(cell) for cell in cells])

    def markdown(self) -> str:
        """The table in Markdown, its columns aligned."""
        lines = [self.headings, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.headings))]

        def line(cells: list[str]) -> str:
            padded = [cells[0].ljust(widths[0])]
            padded += [c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True)]
            return "| " + " | ".join(padded) + " |"

        rule = ["-" * (widths[0] + 2), *("-" * (w + 1) + ":" for w in widths[1:])]
        return "\n".join([line(self.headings), "|" + "|".join(rule) + "|", *map(line, self.rows)])

    def show(self) -> None:
        """Print it."""
        print(f"\n{self.title}\n\n{self.markdown()}")
