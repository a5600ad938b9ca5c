"""Tables for the terminal that can be put into a README as they are."""

from __future__ import annotations

from dataclasses import dataclass, field


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
