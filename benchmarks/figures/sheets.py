"""Figures 5 to 7: pictures, what each method makes of them, and the place where they differ most.

    python -m benchmarks.figures.sheets DATA_DIR -o FOLDER
        [--sets streets rain100l-dev realrain60 ...] [--methods udg-paper udg udgnet]
        [--network NAME=WEIGHTS ...] [--every N] [--part N]

For every set FOLDER gets sheet-SET.png with a picture a row: rainy, each method, and the clean
picture where there is one; PSNR-Y below. A folder without clean pictures (or one with `rainy/`
only) is taken as it is. `--part N` takes the first N pictures.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import track

import udg
from benchmarks._shared import arguments, drawing, methods, pairs
from benchmarks._shared.common import pictures, write_json
from benchmarks._shared.drawing import Cell
from udg.errors import FileError
from udg.io.files import read

METHODS = ("udg-paper", "udg", "udgnet")


def scenes(
    spec: str, data_dir: Path, widest: int = pairs.WIDEST
) -> list[tuple[str, pairs.Pair | Path]]:
    """Pairs of a set, or pictures of a folder that has none."""
    if spec != "streets" and not spec.startswith("rain:"):
        folder = pairs.found(spec, data_dir)
        if not ((folder / "clean").is_dir() or (folder / "rainy_image").is_dir()):
            alone = folder / "rainy" if (folder / "rainy").is_dir() else folder
            if not (listed := pictures(alone)):
                raise FileError(f"{alone} holds no pictures")
            return [(path.stem, path) for path in listed]
    return [(pair.name, pair) for pair in pairs.open_set(spec, data_dir, rains=1, widest=widest)]


def row(
    scene: pairs.Pair | Path, ready: dict[str, methods.Derain], widest: int = pairs.WIDEST
) -> tuple[list[Cell | None], dict[str, float], drawing.Window]:
    """A row of the sheet, PSNR by method, and the place to enlarge."""
    if isinstance(scene, Path):
        rainy, clean = pairs.shrunk(pairs.colours(read(scene).pixels), widest), None
    else:
        rainy, clean, _ = scene.load()
    results = {"rain": rainy} | {name: derain(rainy) for name, derain in ready.items()}
    quality = {}
    if clean is not None:
        quality = {name: udg.psnr_y(picture, clean) for name, picture in results.items()}
    cells: list[Cell | None] = [
        Cell(picture, f"{quality[name]:.2f} dB" if quality else "")
        for name, picture in results.items()
    ]
    cells.append(None if clean is None else Cell(clean))
    return cells, quality, drawing.telling_window(list(results.values()))


def main() -> None:
    """Read the arguments, derain, draw."""
    parser = arguments.parser(
        __doc__,
        "data_dir every widest json",
        sets={"default": ["streets", "rain100l-dev", "realrain60"]},
        output={"required": True},
    )
    parser.add_argument("--methods", nargs="*", default=METHODS, help=", ".join(methods.LABELS))
    parser.add_argument("--part", type=int, default=3, help="take the first N of these")
    parser.add_argument("--width", type=int, default=360, help="pixels of a column")
    parser.add_argument("--format", choices=("png", "jpg"), default="png")
    methods.add_options(parser)
    options = parser.parse_args()

    names = list(dict.fromkeys([*options.methods, *methods.networks(options)]))
    names = [name for name in names if name != "rain"]
    ready = {name: methods.method(name, options) for name in names}
    console = Console(stderr=True)
    results: dict[str, dict[str, dict[str, float]]] = {}
    for spec in options.sets:
        chosen = scenes(spec, options.data_dir, options.widest)[:: options.every][: options.part]
        title = spec.removeprefix("rain:").strip("/").replace("/", "-")
        rows, windows = [], []
        for name, scene in track(chosen, title, console=console):
            cells, quality, window = row(scene, ready, options.widest)
            rows.append(cells)
            windows.append(window)
            results.setdefault(title, {})[name] = quality
        headings = ["Rain", *map(methods.label, names), "Clean"]
        if all(cells[-1] is None for cells in rows):
            headings, rows = headings[:-1], [cells[:-1] for cells in rows]
        path = options.output / f"sheet-{title}.{options.format}"
        drawing.keep(drawing.sheet(headings, rows, windows, width=options.width), path)
        print(path)
    write_json(options.json, {"psnr": results})


if __name__ == "__main__":
    main()
