"""What a user waits for, and how fast the minimum is reached: in FFTs, beside peers and the paper.

    python -m benchmarks.solver.speed DATA_DIR [--only calls fft peers alternation memory sizes]
        [--cache FOLDER] [--json OUT] [--plot OUT]

DATA_DIR holds clean/cityscapes, of which the first street scene gets rendered rain. True excess is
(E − E*) / E*, where E* is the minimum in float64 to a gap of 1e-7; it takes long, and FOLDER keeps
it. Peers need the extra `peers`, the plot `plot`. Sections in OUT that are not run are kept.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import udg
from benchmarks._shared import arguments, scenes
from benchmarks._shared.common import circumstances, environment, write_json
from benchmarks._shared.timing import Yardstick, beside, clock, in_one_go, iterations_to, trace
from benchmarks.solver import calls
from udg.imaging.geometry import rotate
from udg.imaging.image import prepare
from udg.io.files import read

ANGLES = (0.0, 20.0)
EXCESSES = (1e-2, 1e-3, 1e-4)
GAPS = (1e-2, 2e-3)
MEGAPIXELS = (0.25, 0.5, 1, 2, 4, 8)
PEERS = ("pyproximal", "pylops", "scico", "jax", "odl", "cvxpy", "clarabel", "scs", "destripe")


def fft(options: argparse.Namespace) -> dict[str, Any]:
    """The street in FFT pairs, to true excesses and to proven gaps."""
    yardstick = Yardstick(scenes.street(options.data_dir))
    method, rows = udg.PrimalDual(), []
    for angle in options.angles:
        Y = scenes.frame(options.data_dir, angle)
        problem = udg.Problem(Y, udg.RAIN_WEIGHTS, "rain")
        minimum = scenes.reference(problem, options.cache, options.reference_tol)
        energies = {excess: minimum.energy * (1 + excess) for excess in EXCESSES}
        points = trace(problem, method, min(energies.values()))
        counts = {excess: iterations_to(points, energy) for excess, energy in energies.items()}

        def to_gap(gap: float, problem: udg.Problem = problem) -> float:
            return clock(lambda: udg.minimize(problem, method, tol=gap))

        runs: dict[str, Callable[[], float]] = {}
        for excess, count in counts.items():
            if count is not None:
                runs[f"excess {excess:g}"] = lambda n=count, p=problem: in_one_go(p, method, n)
        for gap in GAPS:
            runs[f"gap {gap:g}"] = lambda gap=gap, to=to_gap: to(gap)
            counts[gap, "gap"] = udg.minimize(problem, method, tol=gap).iterations
        iterations = {f"excess {e:g}": counts[e] for e in EXCESSES}
        iterations |= {f"gap {gap:g}": counts[gap, "gap"] for gap in GAPS}
        for name, found in beside(runs, yardstick.seconds, options.repeats).items():
            row = {"angle": angle, "shape": Y.shape, "to": name, "iterations": iterations[name]}
            rows.append(row | found)
    return {"pair": yardstick.seconds(101), "gap of the minimum": minimum.gap, "rows": rows}


def peers(options: argparse.Namespace) -> dict[str, Any]:
    """udg and other libraries on the same energy, 512×512."""
    from benchmarks.peers.compare import compare

    Y = scenes.crop(scenes.street(options.data_dir), options.side, options.side)
    problem = udg.Problem(Y, udg.RAIN_WEIGHTS, "rain")
    minimum = scenes.reference(problem, options.cache, options.reference_tol)
    result = compare(Y, minimum, options.side // 4, options.cone_sides, options.limit)
    return {"minimum": minimum.energy} | result


def alternation(options: argparse.Namespace) -> dict[str, Any]:
    """The paper's model to the energy that its own method has after 1,000 inner iterations."""
    Y = scenes.crop(scenes.street(options.data_dir), options.side, options.side)
    problem = udg.Problem(Y, udg.PAPER_WEIGHTS, "signed", "periodic")
    paper = udg.Alternating()
    state = paper.advance(problem, paper.start(problem, None), paper.outer)
    energy = problem.energy(*paper.estimate(problem, state)[:2])
    methods = {"primal-dual": udg.PrimalDual(), "joint": udg.Joint()}
    counts = {
        name: iterations_to(trace(problem, method, energy, options.limit, step=2), energy)
        for name, method in methods.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in ("alternating", *methods)}
    for _ in range(options.repeats):
        seconds["alternating"].append(in_one_go(problem, paper, paper.outer))
        for name, method in methods.items():
            if (count := counts[name]) is not None:
                seconds[name].append(in_one_go(problem, method, count))
    rows = []
    for name in methods:
        if not seconds[name]:
            rows.append({"method": name, "iterations": None})
            continue
        times = np.divide(seconds["alternating"], seconds[name])
        row = {"method": name, "iterations": counts[name], "seconds": median(seconds[name])}
        rows.append(row | {"times": median(times), "spread": [min(times), max(times)]})
    about_paper = {"outer": paper.outer, "inner": paper.outer * paper.inner, "energy": energy}
    about_paper |= {"seconds": median(seconds["alternating"])}
    return {"shape": Y.shape, "alternating": about_paper, "rows": rows}


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """Peak of a process of its own, in float32 copies of the solved frame."""
    rows = []
    side = options.memory_side
    with tempfile.TemporaryDirectory() as folder:
        for angle in options.angles:
            image = read(sorted((options.data_dir / scenes.STREET).glob("*.png"))[0]).pixels
            image = np.stack([scenes.enlarge(image[..., k], side, side) for k in range(3)], axis=2)
            rainy = udg.synthesize(image, angle=angle, seed=scenes.SEED).rainy
            picture = Path(folder) / "image.npy"
            np.save(picture, rainy.round().astype(np.uint8))
            plane = Path(folder) / "frame.npy"
            np.save(plane, rotate(prepare(rainy, 255.0).luma(), angle))
            for call, path in (("minimize", plane), ("solve", picture)):
                program = [sys.executable, "-m", "benchmarks._shared.peak"]
                done = subprocess.run(
                    [*program, call, str(path), str(angle)],
                    capture_output=True, text=True, check=True,
                    env=environment(),
                )  # fmt: skip
                facts = json.loads(done.stdout)
                copies = {
                    key: facts[key] / facts["frame"] for key in ("peak", "arrays", "libraries")
                }
                rows.append({"call": call, "angle": angle, "frame bytes": facts["frame"]} | copies)
    return {"side": side, "rows": rows}


def sizes(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds a megapixel to a proven gap of 1e-2, by size."""
    street, method = scenes.street(options.data_dir), udg.PrimalDual()
    runs: dict[str, Callable[[], float]] = {}
    facts = {}
    for size in options.megapixels:
        height = 2 ** round(math.log2(size * 2**19) / 2)
        width = round(size * 2**20 / height)
        Y = scenes.enlarge(scenes.crop(street, min(height, 1024), min(width, 2048)), height, width)
        problem = udg.Problem(Y, udg.RAIN_WEIGHTS, "rain")
        runs[f"{size:g}"] = lambda p=problem: clock(lambda: udg.minimize(p, method))
        found = udg.minimize(problem, method)
        facts[f"{size:g}"] = {"shape": Y.shape, "iterations": found.iterations}
    unit = "2" if "2" in runs else list(runs)[-1]  # to which the others are compared
    reference = runs[unit]
    rows = []
    for name, found in beside(runs, reference, options.repeats).items():
        pixels = math.prod(facts[name]["shape"]) / 1e6
        two = math.prod(facts[unit]["shape"]) / 1e6
        row = {"MP": float(name)} | facts[name] | {"seconds a megapixel": found["seconds"] / pixels}
        row["beside 2 MP"] = found["ratio"] * two / pixels
        row["spread"] = [ratio * two / pixels for ratio in found["spread"]]
        rows.append(row)
    return {"rows": rows}


SECTIONS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "calls": calls.measure,
    "fft": fft,
    "peers": peers,
    "alternation": alternation,
    "memory": memory,
    "sizes": sizes,
}


def show(results: dict[str, Any], console: Console) -> None:
    """Print a table a section."""
    for name, columns, rows in tables(results):
        table = Table(title=name)
        for column in columns:
            table.add_column(column, justify="left" if column == columns[0] else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table)


def tables(results: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """What was measured as titles, headings and rows."""
    made = []
    if part := results.get("calls"):
        made += calls.tables(part)
    if part := results.get("fft"):
        pair = 1e3 * part["pair"]
        rows = [
            [row["to"], f"{row['angle']:g}°", str(row["iterations"]), f"{row['ratio']:.0f}",
             _range(row["spread"], 0), f"{row['seconds']:.2f}"]
            for row in part["rows"]
        ]  # fmt: skip
        heading = ["1024×2048 to", "angle", "iterations", "FFT pairs", "least to most", "s"]
        made.append((f"In FFT pairs of {pair:.1f} ms", heading, rows))
    if part := results.get("peers"):
        rows = []
        for row in part["udg"]:
            rows.append(
                [row["name"], *(f"{row['seconds'][e]:.2f}" for e in ("0.01", "0.001")), "", ""]
            )
        for row in part["peers"]:
            if "missing" in row:
                rows.append([f"{row['name']}: {row['missing']}", "", "", "", ""])
            elif "times as long" in row:
                rows.append(
                    [f"{row['name']}, own energy", f"{row['seconds a megapixel']:.1f} a MP",
                     f"udg.solve: {row['udg.solve']:.1f}", "", f"{row['times as long']:.1f}"]
                )  # fmt: skip
            else:
                about = " (extrapolated)" if row.get("extrapolated") else ""
                numbers = [_number(row[part][e]) for part in ("seconds", "ratio")
                           for e in ("0.01", "0.001")]  # fmt: skip
                rows.append([row["name"] + about, *numbers])
        heading = ["true excess", "1e-2, s", "1e-3, s", "times udg, 1e-2", "times udg, 1e-3"]
        made.append(("×".join(map(str, part["shape"])), heading, rows))
    if part := results.get("alternation"):
        rows = [
            [row["method"], str(row["iterations"]), f"{row['times']:.1f}", _range(row["spread"], 1)]
            if "times" in row
            else [row["method"], "not reached", "", ""]
            for row in part["rows"]
        ]
        shape, paper = "×".join(map(str, part["shape"])), part["alternating"]
        title = f"The paper's model, {shape}, to the energy of {paper['inner']} inner iterations"
        heading = ["method", "iterations", "times as fast", "least to most"]
        made.append((title, heading, rows))
    if part := results.get("memory"):
        rows = [
            [f"udg.{row['call']}", f"{row['angle']:g}°", f"{row['peak']:.1f}",
             f"{row['arrays']:.1f}", f"{row['libraries']:.1f}"]
            for row in part["rows"]
        ]  # fmt: skip
        heading = ["call", "angle", "peak, copies of the frame", "of it arrays", "libraries"]
        made.append((f"Memory, a picture of {part['side']}×{part['side']}", heading, rows))
    if part := results.get("sizes"):
        rows = [
            [f"{row['MP']:g}", str(row["iterations"]), f"{row['seconds a megapixel']:.2f}",
             f"{row['beside 2 MP']:.2f}", _range(row["spread"], 2)]
            for row in part["rows"]
        ]  # fmt: skip
        heading = ["MP", "iterations", "s a megapixel", "times that of 2 MP", "least to most"]
        made.append(("Size, to a gap of 1e-2", heading, rows))
    return made


def _range(spread: list[float], digits: int) -> str:
    return f"{spread[0]:.{digits}f} to {spread[1]:.{digits}f}"


def _number(value: float | None) -> str:
    return "not reached" if value is None else f"{value:.3g}"


def plot(part: dict[str, Any], path: Path) -> None:
    """Draw excess against time, udg and its peers."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    rows = part["udg"] + [row for row in part["peers"] if "curve" in row]
    for row in rows:
        seconds, energy = np.asarray(row["curve"]).T
        excess = energy / part["minimum"] - 1
        own = row["name"].startswith("udg")
        axes.loglog(
            seconds, np.maximum.accumulate(excess[::-1])[::-1],
            label=row["name"], linewidth=2.2 if own else 1.2, linestyle="-" if own else "--",
        )  # fmt: skip
    axes.set(xlabel="seconds", ylabel="true relative excess", ylim=(8e-4, 1))
    axes.grid(which="both", alpha=0.2)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> None:
    """Read the arguments, measure, report."""
    parser = arguments.parser(__doc__, "data_dir json")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--cache", type=Path, help="folder that keeps reference minima")
    parser.add_argument("--plot", type=Path, help="draw excess against time into this file")
    parser.add_argument("--angles", type=float, nargs="+", default=list(ANGLES))
    parser.add_argument("--repeats", type=int, default=5, help="interleaved runs of each")
    parser.add_argument("--reference-tol", type=float, default=1e-7, help="gap of the minimum")
    parser.add_argument("--side", type=int, default=512, help="of peers' and alternation's picture")
    parser.add_argument(
        "--cone-sides", type=int, nargs="+", default=[48, 64, 96, 128], help="for CVXPY's solvers"
    )
    parser.add_argument("--memory-side", type=int, default=2048)
    parser.add_argument("--megapixels", type=float, nargs="+", default=list(MEGAPIXELS))
    parser.add_argument("--pictures", type=int, default=5, help="of each kind, of calls")
    parser.add_argument("--large", type=float, nargs="*", default=[12, 24, 100], help="megapixels")
    parser.add_argument("--frames", type=int, default=60, help="of the batch")
    parser.add_argument("--limit", type=float, default=240, help="seconds for a peer's run")
    options = parser.parse_args()

    results: dict[str, Any] = {}
    if options.json and options.json.exists():
        results = json.loads(options.json.read_text(encoding="utf-8"))
        results.pop("about", None)
    for name in SECTIONS:
        if name in options.only:
            print(f"{name} ...", file=sys.stderr, flush=True)
            results[name] = {"about": circumstances(*PEERS)} | SECTIONS[name](options)
            write_json(options.json, results)
    show(results, Console())
    if options.plot and "peers" in results:
        plot(results["peers"], options.plot)


if __name__ == "__main__":
    main()
