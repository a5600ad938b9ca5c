"""Table 3: model size and running time for a picture of 1024×2048, beside the paper's.

    python -m benchmarks.tables.runtime [DATA_DIR] [--rows NAME ...] [--device auto|cpu|cuda]
        [--size 1024x2048] [--repeats 5] [--limit 30] [--full] [--json OUT] [--plot OUT]

Needs no data: the picture is a street drawn here, or the first of DATA_DIR/clean/cityscapes, with
rendered rain. Seconds are the median of repeated runs after a warm-up; GPUs are waited for. A row
that would take more than `--limit` seconds is timed on two smaller crops and extrapolated by the
growth from one to the other, and says so; `--full` measures it. Networks have their real
architecture and random weights. OUT is written after every row, and rows of the same size that are
not run again are kept. Needs the extras `net` and `benchmarks`; on a GPU udg also needs CuPy.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import udg
from benchmarks._shared import arguments, scenes
from benchmarks._shared.common import circumstances, processor, write_json
from benchmarks._shared.peak import resident
from benchmarks._shared.timing import busy, in_one_go, iterations_to, repeated, trace
from benchmarks.baselines.growth import extrapolate
from udg.backend import threads
from udg.imaging.image import prepare
from udg.pipeline.options import STAGES

Array = Any
Call = Callable[[], Any]

FLOAT = 4  # bytes
ANGLE = 20.0  # of the rain that has to be turned
#: The paper's machine: DSC, GMM and UDG on the one, networks (it seems) on the other.
PAPER_MACHINE = "Intel Core i7-8700, NVIDIA RTX 2080 Ti"
UDG = "udg-alternating"  # the row of the paper's UDG, to which the others' times are compared
OURS = "udg-solve"
_FRACTIONS = (16, 8, 4, 2)  # sides of the smaller crops, as parts of the picture's
_LEAST_SIDE = 32  # pixels of the smallest crop
_QUICK = 5.0  # seconds; what takes longer has been warmed up by the smaller size
_DISTURBED = 0.2  # of the cores: what others may use without being mentioned
_PATIENCE = 20.0  # seconds after which there are no more than three runs of one size
_ROOM = 0.7  # of the free memory
_SAMPLE = (256, 512)  # where iterations to the same energy are counted


# --- what is timed -------------------------------------------------------------------------------


class Subject(NamedTuple):
    """Something that derains, loaded.

    Attributes
    ----------
    prepare : callable
        From a picture, (H, W, 3), to the call that is timed.
    parameters : int or None
        Trained numbers that it needs; None if nothing was trained.
    note : str
        What a reader of its row has to know.
    mb : float or None
        Size, if it is not that of the parameters.
    """

    prepare: Callable[[Array], Call]
    parameters: int | None = None
    note: str = ""
    mb: float | None = None


@dataclass(frozen=True)
class Row:
    """A row of the table: what it is called, how it is loaded, and what the paper has for it.

    Attributes
    ----------
    title : str
    load : callable
        From a device and the rainy picture, whole, to the subject.
    paper_mb, paper_seconds : float or None
    devices : tuple of {"cpu", "cuda"}
    angle : float
        Of the rain in its picture.
    """

    title: str
    load: Callable[[Device, Array], Subject]
    paper_mb: float | None = None
    paper_seconds: float | None = None
    devices: tuple[str, ...] = ("cpu", "cuda")
    angle: float = 0.0


def dsc(device: Device, picture: Array) -> Subject:
    """Discriminative sparse coding; its dictionary is learnt from the picture."""
    from benchmarks.baselines import dsc

    return Subject(
        lambda image: partial(dsc.derain, image), note="2 turns where the authors' has 5"
    )


def gmm(device: Device, picture: Array) -> Subject:
    """Layer priors, with a background mixture of the usual size that was not fitted."""
    from benchmarks.baselines import gmm

    prior = mixture(picture)
    parameters = sum(part.size for part in (prior.weights, prior.means, prior.covariances))
    note = "patches every 3 pixels, the paper's: every pixel; background mixture not fitted"
    return Subject(lambda image: partial(gmm.derain, image, prior), parameters, note)


def mixture(picture: Array, components: int = 200, side: int = 48) -> Any:
    """As many Gaussians as GMM's background has, each of the patches of a window.

    Fitting takes minutes and changes what comes out, not how long it takes.
    """
    from benchmarks.baselines.gmm import FLOOR, PATCH, Mixture
    from benchmarks.baselines.patches import Grid, centre

    rng, light = np.random.default_rng(0), prepare(picture).luma()
    height, width = (min(side, length) for length in light.shape)
    grid = Grid((height, width), PATCH)
    means, covariances = [], []
    for _ in range(components):
        top = rng.integers(light.shape[0] - height + 1)
        left = rng.integers(light.shape[1] - width + 1)
        patches = centre(grid.extract(light[top : top + height, left : left + width]))
        means.append(patches.mean(0))
        covariances.append(np.cov(patches.T) + FLOOR * np.eye(PATCH**2))
    return Mixture(np.full(components, 1 / components), np.stack(means), np.stack(covariances))


def alternating(device: Device, picture: Array) -> Subject:
    """The paper's method: all its iterations on its model."""
    method = udg.Alternating()
    note = f"{method.outer}×{method.inner} iterations for each of R and X"
    return Subject(_iterations(device, method, method.outer), note=note)


def same_energy(method: Any, device: Device, picture: Array) -> Subject:
    """The paper's model to the energy at which its own method ends."""
    count = iterations_to_paper(method, picture)
    sample = "×".join(map(str, _crop(picture, _SAMPLE).shape[:2]))
    note = f"the paper's model and the energy of its method: {count} iterations, as on {sample}"
    return Subject(_iterations(device, method, count), note=note)


def iterations_to_paper(method: Any, picture: Array) -> int:
    """Iterations to the energy that the paper's method has after all of its own, on a sample."""
    problem, paper = _paper_problem(_light(_crop(picture, _SAMPLE))), udg.Alternating()
    state = paper.advance(problem, paper.start(problem, None), paper.outer)
    energy = problem.energy(*paper.estimate(problem, state)[:2])
    count = iterations_to(trace(problem, method, energy, step=5), energy)
    if count is None:
        raise RuntimeError(f"{method} does not come to the energy of the paper's method")
    return count


def _paper_problem(Y: Array) -> udg.Problem:
    return udg.Problem(Y, udg.PAPER_WEIGHTS, "signed", "periodic")


def _iterations(device: Device, method: Any, count: int) -> Callable[[Array], Call]:
    """So many iterations on the paper's model, from zero to the answer."""

    def prepare_call(image: Array) -> Call:
        problem = _paper_problem(device.array(_light(image)))
        return lambda: in_one_go(problem, method, count)

    return prepare_call


def rain_model(device: Device, picture: Array) -> Subject:
    """The package's model on the darkest channel, to the gap at which `solve` stops."""

    def prepare_call(image: Array) -> Call:
        Y = device.array(prepare(image).darkest())
        problem = udg.Problem(Y, udg.RAIN_WEIGHTS, "rain")
        return lambda: udg.minimize(problem, udg.PrimalDual(), tol=1e-2)

    return Subject(prepare_call, note="one stage to a proven gap of 1 %, angle known")


def solve(device: Device, picture: Array) -> Subject:
    """`udg.solve` with nothing given."""

    def prepare_call(image: Array) -> Call:
        array = device.array(image)
        return lambda: udg.solve(array)

    note = f"everything automatic: angle, rain level, turning, {STAGES} stages"
    return Subject(prepare_call, note=note)


def network(name: str, device: Device, picture: Array) -> Subject:
    """A network of `baselines/networks` as it is built, in its real size."""
    from benchmarks.baselines.networks import NETWORKS
    from benchmarks.baselines.networks.shared import megabytes

    device.seed()
    net = NETWORKS[name].build().eval()
    note = "random weights"
    if name == "cyclegan":
        note += "; one generator, of 11.4 million parameters: the paper's 11.7 may be millions"
    return Subject(_forward(device, net), _count(net), note, megabytes(net))


def udgnet(streams: tuple[str, ...], device: Device, picture: Array) -> Subject:
    """The paper's network, ready for inference; without its angle network."""
    from udg.net import Config, UDGNet, for_inference

    device.seed()
    net = UDGNet(Config())
    counts = {name: _count(part) for name, part in net.named_children()}
    import torch

    ready = for_inference(net, device.name, torch.float32)
    parts = [getattr(ready, name) for name in streams]
    if len(streams) == 2:
        note = "background, rain and angle network counted, both streams timed"
        parameters = sum(counts.values())
    else:
        note, parameters = "all that deraining needs if the angle is known", counts[streams[0]]
    note = f"random weights, batch normalisation folded; {note}"
    return Subject(_forward(device, *parts), parameters, note)


def small(device: Device, picture: Array) -> Subject:
    """The weights that come with the package, from the picture to the derained one."""
    from udg.net import derain, for_inference, from_pretrained

    net = from_pretrained("small")
    ready = for_inference(net, device.name)

    def prepare_call(image: Array) -> Call:
        return lambda: derain(image, ready)

    note = "trained weights, one channel; angle estimated, turned there and back"
    return Subject(prepare_call, _count(net), note)


def _forward(device: Device, *nets: Any) -> Callable[[Array], Call]:
    """A forward pass of each network, channels last, float32."""
    import torch

    nets = tuple(net.to(device.name, memory_format=torch.channels_last) for net in nets)

    def prepare_call(image: Array) -> Call:
        batch = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
        batch = batch.to(device.name).contiguous(memory_format=torch.channels_last)

        def run() -> None:
            with torch.inference_mode():
                for net in nets:
                    net(batch)

        return run

    return prepare_call


def _count(net: Any) -> int:
    return sum(part.numel() for part in net.parameters())


def _light(image: Array) -> Array:
    return prepare(image).luma()


CPU = ("cpu",)
ROWS: dict[str, Row] = {
    "dsc": Row("DSC", dsc, None, 5066, CPU),
    "gmm": Row("GMM", gmm, None, 1443, CPU),
    UDG: Row("UDG, alternating (the paper's)", alternating, None, 7.846),
    "udg-joint": Row("UDG, joint", partial(same_energy, udg.Joint())),
    "udg-primal-dual": Row("UDG, primal-dual", partial(same_energy, udg.PrimalDual())),
    "udg-rain": Row("udg.minimize, our rain model", rain_model),
    OURS: Row("udg.solve, rain at 0°", solve),
    "udg-solve-turned": Row(f"udg.solve, rain at {ANGLE:g}°", solve, angle=ANGLE),
    "ddn": Row("DDN", partial(network, "ddn"), 0.233, 0.162),
    "jorder_e": Row("JORDER-E", partial(network, "jorder_e"), 16.7, 9.123),
    "rcdnet": Row("RCDNet", partial(network, "rcdnet"), 13.1, 22.6),
    "cyclegan": Row("CycleGAN", partial(network, "cyclegan"), 11.7, 3.098),
    "udgnet": Row("UDGNet, both streams", partial(udgnet, ("background", "rain")), 5.7, 0.129),
    "udgnet-rain": Row("UDGNet, rain stream", partial(udgnet, ("rain",))),
    "udgnet-small": Row("udg.net.derain, 'small'", small),
}


# --- where ---------------------------------------------------------------------------------------


@dataclass
class Device:
    """A processor: its arrays, its queue, its memory, and how time is taken on it."""

    name: str
    clock: str = "wall"

    def now(self) -> float:
        """Seconds by the clock; "cpu": those of all threads, divided by their number."""
        return time.perf_counter() if self.clock == "wall" else time.process_time() / threads()

    @property
    def label(self) -> str:
        """What it is called by its maker."""
        if self.name == "cpu":
            return processor()
        import torch

        return str(torch.cuda.get_device_name())

    def array(self, image: Array) -> Array:
        """The image as an array for udg on this device."""
        if self.name == "cpu":
            return image
        import cupy

        return cupy.asarray(image)

    def seed(self) -> None:
        """Random weights are the same ones, threads those of udg, cuDNN chooses algorithms."""
        import torch

        torch.manual_seed(0)
        torch.set_num_threads(threads())
        torch.backends.cudnn.benchmark = True

    def synchronize(self) -> None:
        """Wait until everything that was asked of the device is done."""
        if self.name == "cuda":
            import torch

            torch.cuda.synchronize()  # of the device: CuPy's streams as well

    def peak(self, run: Call) -> float | None:
        """Bytes that a call needs at most beyond what is held; None where that is not told."""
        if self.name == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            run()
            return float(torch.cuda.max_memory_allocated() - before)
        try:
            before = resident("VmRSS")
            # Forget the peak so far.
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        except OSError:
            run()
            return None
        run()
        return float(resident("VmHWM") - before)

    def free(self) -> float:
        """Bytes of memory that are free; infinite where that is not told."""
        if self.name == "cuda":
            import torch

            return float(torch.cuda.mem_get_info()[0])
        with suppress(OSError):
            for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
                if line.startswith("MemAvailable:"):
                    return 1024 * float(line.split()[1])
        return math.inf


def devices(wanted: str, clock: str = "wall") -> list[Device]:
    """The devices for `--device`: "auto" takes the CPU, and a GPU where there is one."""
    try:
        import torch

        cuda = torch.cuda.is_available()
    except ImportError:
        cuda = False
    if wanted == "cuda" and not cuda:
        raise SystemExit("there is no GPU that torch could use; give --device cpu")
    names = {"cpu": ["cpu"], "cuda": ["cuda"], "auto": ["cpu", "cuda"] if cuda else ["cpu"]}
    return [Device(name, clock if name == "cpu" else "wall") for name in names[wanted]]


# --- how -----------------------------------------------------------------------------------------


@dataclass
class Timed:
    """Runs at one size."""

    shape: tuple[int, int]
    seconds: list[float]
    peak: float | None = None
    others: float | None = None  # share of the cores that other processes used meanwhile

    @property
    def pixels(self) -> int:
        """Their number."""
        return math.prod(self.shape)

    @property
    def median(self) -> float:
        """Of the seconds."""
        return median(self.seconds)


@dataclass
class Plan:
    """What is asked for, and how patiently."""

    shape: tuple[int, int]
    repeats: int = 5
    limit: float = 30.0
    full: bool = False
    tell: Callable[[str], Any] = field(default=lambda _: None)


def measure(subject: Subject, picture: Array, device: Device, plan: Plan) -> dict[str, Any]:
    """Time a subject on the whole picture, or on two smaller crops if it would take too long.

    Crops of growing size are run once each, until the whole picture has been, or would take too
    long; then what counts is repeated.

    Raises
    ------
    MemoryError
        Not even two sizes fit into the memory.
    """
    points: list[Timed] = []
    short = False

    def fits(shape: tuple[int, int]) -> bool:
        grown = math.prod(shape) / points[-1].pixels
        return (points[-1].peak or 0) * grown <= _ROOM * device.free()

    for shape in ladder(plan.shape):
        whole = shape == plan.shape
        if points:
            short = not fits(shape)
            # Two crops are enough once they show growth, and need not take as long as the whole.
            crops = plan.limit / 3 if grows(points) else plan.limit
            most = math.inf if plan.full else plan.limit if whole else crops
            if short or (len(points) > 1 and predict(points, math.prod(shape)) > most):
                break
            quick = predict(points, math.prod(plan.shape)) < plan.limit / 20
            if quick and not whole and fits(plan.shape):
                continue
        plan.tell(_named(shape))
        points.append(_first(subject, picture, shape, device, again=not points))
    if points[-1].shape == plan.shape:
        del points[:-1]
    elif len(points) == 1:
        raise MemoryError(f"only {_named(points[0].shape)} fits into the memory that is free")
    del points[:-2]
    for point in points:
        plan.tell(f"{_named(point.shape)}, {plan.repeats} times")
        _repeat(point, subject, picture, device, plan.repeats)
    return _answer(points, plan, short)


def grows(points: list[Timed]) -> bool:
    """Whether time grows with pixels; where a fixed cost is most of it, nothing can be told yet."""
    return len(points) > 1 and _power(*points[-2:]) > 0.5


def _power(small: Timed, large: Timed) -> float:
    return math.log(large.median / small.median) / math.log(large.pixels / small.pixels)


def _first(
    subject: Subject, picture: Array, shape: tuple[int, int], device: Device, again: bool
) -> Timed:
    """One run, or a second after the first, in which libraries load and GPUs choose algorithms."""
    run, found = subject.prepare(_crop(picture, shape)), Timed(shape, [])

    def once() -> None:
        found.seconds[:] = repeated(run, 1, synchronize=device.synchronize, now=device.now)

    found.peak = device.peak(once)
    if again or device.name == "cuda":
        once()
    return found


def _repeat(point: Timed, subject: Subject, picture: Array, device: Device, repeats: int) -> None:
    """All runs of a size; the one that was made is the first of them, or a warm-up if short."""
    if device.name == "cuda" or point.median <= _QUICK:
        point.seconds.clear()
    run = subject.prepare(_crop(picture, point.shape))
    more, least = repeats - len(point.seconds), 3 - len(point.seconds)
    before, began = busy(), time.perf_counter()
    point.seconds += repeated(run, more, _PATIENCE, device.synchronize, least, device.now)
    after, wall = busy(), time.perf_counter() - began
    if before and after and wall > 1:  # the system counts in hundredths of a second
        used = (after[0] - before[0]) - (after[1] - before[1])
        point.others = round(max(0.0, used) / wall / (os.cpu_count() or 1), 2)


def ladder(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Sizes to time, the smallest first and the picture's own last; multiples of 16."""
    smaller = {
        tuple(max(16, 16 * round(side / part / 16)) for side in shape) for part in _FRACTIONS
    }
    kept = (
        (height, width)
        for height, width in smaller
        if min(height, width) >= _LEAST_SIDE and height * width < math.prod(shape)
    )
    return [*sorted(kept, key=math.prod), shape]


def predict(points: list[Timed], pixels: int) -> float:
    """Seconds at a number of pixels, from what was measured at smaller ones."""
    last = points[-1]
    if len(points) > 1:
        before = points[-2]
        if before.median < last.median:
            known = (before.pixels, before.median), (last.pixels, last.median)
            return extrapolate(*known, pixels)
    return last.median * pixels / last.pixels


def _answer(points: list[Timed], plan: Plan, short: bool) -> dict[str, Any]:
    last, pixels = points[-1], math.prod(plan.shape)
    facts: dict[str, Any] = {
        "measured": last.shape == plan.shape,
        "seconds": predict(points, pixels),
        "runs": len(last.seconds),
    }
    # An extrapolated time is as uncertain as the larger of the two that it comes from, at least.
    scale = facts["seconds"] / last.median
    facts["least"], facts["most"] = scale * min(last.seconds), scale * max(last.seconds)
    if not facts["measured"]:
        facts["power of pixels"] = _power(*points)
        facts["why"] = "memory" if short else "time"
    facts["sizes"] = [
        {
            "shape": list(point.shape),
            "seconds": point.seconds,
            "peak bytes": point.peak,
            "others": point.others,
        }
        for point in points
    ]
    return facts


def _crop(picture: Array, shape: tuple[int, int]) -> Array:
    height, width = map(min, picture.shape[:2], shape)
    planes = [scenes.crop(picture[..., k], height, width) for k in range(picture.shape[2])]
    return np.stack(planes, axis=2)


def _named(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


# --- report --------------------------------------------------------------------------------------


def compare(rows: list[dict[str, Any]]) -> None:
    """Give every row its time in those of the paper's UDG and of udg.solve, on the same device.

    Methods that run on a GPU are compared with UDG there; where that has no time, with the CPU's.
    """
    known = {(row["name"], row["device"]): row["seconds"] for row in rows if "seconds" in row}
    paper = ROWS[UDG].paper_seconds
    assert paper is not None
    for row in rows:
        for key, name in (("times UDG", UDG), ("times udg.solve", OURS)):
            row.pop(key, None)
            unit = known.get((name, row["device"]), known.get((name, "cpu")))
            if unit and "seconds" in row:
                row[key] = row["seconds"] / unit
        seconds = row["paper"]["seconds"]
        row["paper"]["times UDG"] = None if seconds is None else seconds / paper


def show(rows: list[dict[str, Any]], labels: dict[str, str], shape: Any, console: Console) -> None:
    """Print a table a device, and what to know of the rows."""
    headings = ["", "MB", "paper", "s", "least to most", "paper", "× UDG", "paper"]
    for device, label in labels.items():
        table = Table(title=f"{_named(shape)} on {label}")
        for heading in [*headings, "× udg.solve"]:
            table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
        chosen = [row for row in rows if row["device"] == device]
        for row in chosen:
            table.add_row(*cells(row))
        console.print(table)
        for row in chosen:
            console.print(f"{row['title']}: {remark(row)}", highlight=False)


def cells(row: dict[str, Any]) -> list[str]:
    """A row as text; "~" stands before what was extrapolated."""
    paper = row["paper"]
    beside = [number(paper["seconds"]), number(row.get("times UDG")), number(paper["times UDG"])]
    start = [row["title"], number(row["mb"]), number(paper["mb"])]
    if "error" in row:
        return [*start, "failed", "", *beside, ""]
    about = "" if row["measured"] else "~"
    spread = f"{number(row['least'])} to {number(row['most'])}"
    time = [about + number(row["seconds"]), spread]
    return [*start, *time, *beside, number(row.get("times udg.solve"))]


def remark(row: dict[str, Any]) -> str:
    """What is to be known of a row in one sentence."""
    parts = [row["note"]] if row["note"] else []
    if "error" in row:
        parts.append(row["error"])
    elif not row["measured"]:
        names = " and ".join(_named(size["shape"]) for size in row["sizes"])
        growth = f"extrapolated from {names}, growth pixels^{row['power of pixels']:.2f}"
        parts.append(growth + (", for lack of memory" if row["why"] == "memory" else ""))
    others = max((size.get("others") or 0 for size in row.get("sizes", [])), default=0)
    if row.get("clock") == "cpu":
        parts.append(f"CPU seconds by {row['threads']} threads, beside other work")
    elif others > _DISTURBED:
        parts.append(f"beside other work, which used {others:.0%} of the cores")
    return "; ".join(parts) or "measured"


def number(value: float | None) -> str:
    """Three figures, without an exponent."""
    if value is None:
        return ""
    if value == 0 or not math.isfinite(value):
        return str(value)
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}".replace(",", " ")


def plot(rows: list[dict[str, Any]], labels: dict[str, str], shape: Any, path: Path) -> None:
    """Draw seconds on a logarithmic axis: ours with their spread, and the paper's."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.lines import Line2D

    names = [name for name in ROWS if any(row["name"] == name for row in rows)]
    place = {name: -index for index, name in enumerate(names)}
    figure, axes = pyplot.subplots(figsize=(8.2, 0.31 * len(names) + 1.2), layout="constrained")
    colours = {"cpu": "#0072B2", "cuda": "#009E73"}
    for row in rows:
        y, colour = place[row["name"]], colours[row["device"]]
        if "seconds" in row:
            fill = colour if row["measured"] else "white"
            axes.plot([row["least"], row["most"]], [y, y], color=colour, linewidth=2)
            axes.plot(row["seconds"], y, "o", color=colour, markerfacecolor=fill, markersize=8)
            axes.annotate(
                number(row["seconds"]), (row["seconds"], y), (0, 7), color=colour, fontsize=7.5,
                textcoords="offset points", horizontalalignment="center",
            )  # fmt: skip
        if (seconds := row["paper"]["seconds"]) is not None:
            axes.plot(seconds, y, "D", color="#D55E00", markerfacecolor="white", markersize=6)
    titles = {row["name"]: row["title"] for row in rows}
    axes.set_yticks([place[name] for name in names], [titles[name] for name in names], fontsize=9)
    axes.set_xscale("log")
    axes.set_xlabel(f"seconds for {_named(shape)}")
    axes.margins(y=0.06)
    axes.grid(axis="x", which="major", alpha=0.4)
    axes.grid(axis="x", which="minor", alpha=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    marks = [
        Line2D([], [], color=colours[device], marker="o", linestyle="", label=label)
        for device, label in labels.items()
    ]
    if any(not row.get("measured", True) for row in rows):
        empty = {"color": "grey", "markerfacecolor": "white", "linestyle": ""}
        marks.append(Line2D([], [], marker="o", label="extrapolated", **empty))
    paper = {"color": "#D55E00", "markerfacecolor": "white", "linestyle": ""}
    marks.append(
        Line2D([], [], marker="D", label="the paper, 1024×2048: i7-8700, RTX 2080 Ti", **paper)
    )
    figure.legend(handles=marks, loc="outside upper center", ncols=2, frameon=False, fontsize=8.5)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def run_row(name: str, device: Device, picture: Array, plan: Plan) -> dict[str, Any]:
    """A row with all that is said about it; what fails is written into it."""
    row = ROWS[name]
    made: dict[str, Any] = {
        "name": name,
        "title": row.title,
        "device": device.name,
        "clock": device.clock,
        "threads": threads(),
        "parameters": None,
        "mb": None,
        "note": "",
        "paper": {"mb": row.paper_mb, "seconds": row.paper_seconds},
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }
    try:
        subject = row.load(device, picture)
        made["note"], made["parameters"] = subject.note, subject.parameters
        made["mb"] = subject.mb
        if subject.mb is None and subject.parameters is not None:
            made["mb"] = subject.parameters * FLOAT / 1e6
        made |= measure(subject, picture, device, plan)
    except Exception as error:  # one row does not stop the others
        made["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
    return made


def earlier(path: Path | None, shape: tuple[int, int]) -> list[dict[str, Any]]:
    """The rows of an earlier run with the same size."""
    if path is None or not path.exists():
        return []
    results = json.loads(path.read_text(encoding="utf-8"))
    return list(results["rows"]) if results["shape"] == list(shape) else []


def main(given: list[str] | None = None) -> int:
    """Read the arguments, measure, report; 1 if a row failed."""
    parser = arguments.parser(__doc__, "json", data_dir={"nargs": "?"})
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME",
                        help=", ".join(ROWS))  # fmt: skip
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument(
        "--clock", choices=["wall", "cpu"], default="wall",
        help="cpu: CPU seconds by threads, where others use the machine, too",
    )  # fmt: skip
    parser.add_argument("--size", type=size, default=(1024, 2048), metavar="HxW")
    parser.add_argument(
        "--repeats", type=int, default=5, help="runs of each; three if they are long"
    )
    parser.add_argument("--limit", type=float, default=30.0, help="seconds; longer: extrapolated")
    parser.add_argument("--full", action="store_true", help="measure everything at full size")
    parser.add_argument("--plot", type=Path, help="draw the times into this file")
    options = parser.parse_args(given)

    plan = Plan(options.size, options.repeats, options.limit, options.full)
    chosen = devices(options.device, options.clock)
    tasks = [
        (name, device)
        for device in chosen
        for name in options.rows
        if device.name in ROWS[name].devices
    ]
    again = {(name, device.name) for name, device in tasks}
    rows = [
        row
        for row in earlier(options.json, options.size)
        if (row["name"], row["device"]) not in again
    ]
    about = circumstances("torch", "scikit-learn", "cupy-cuda12x", "safetensors")
    about |= _torch_facts()
    del about["threads"]  # each row has its own
    pictures: dict[float, Array] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=len(tasks))
        for name, device in tasks:
            angle = ROWS[name].angle
            if angle not in pictures:
                pictures[angle] = scenes.rainy(*options.size, options.data_dir, angle)
            title = f"{ROWS[name].title}, {device.name}"
            plan.tell = lambda what, title=title: progress.update(
                bar, description=f"{title} {what}"
            )
            plan.tell("")
            rows.append(run_row(name, device, pictures[angle], plan) | {"date": about["date"]})
            order = {key: index for index, key in enumerate(ROWS)}
            rows.sort(key=lambda row: (row["device"], order[row["name"]]))
            compare(rows)
            labels = _labels(options.json, rows, chosen)
            results = {
                "shape": list(options.size),
                "picture": "cityscapes" if options.data_dir else "drawn",
                "devices": labels,
                "paper": PAPER_MACHINE,
                "rows": rows,
            }
            write_json(options.json, results, **about)
            progress.advance(bar)
    wide = Console(width=None if sys.stdout.isatty() else 120)
    show(rows, labels, options.size, wide)
    if options.plot:
        plot(rows, labels, options.size, options.plot)
    failed = [row["title"] for row in rows if "error" in row]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def size(text: str) -> tuple[int, int]:
    """Read "1024x2048" as two numbers."""
    try:
        height, width = (int(part) for part in text.lower().replace("×", "x").split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 1024x2048") from None
    if min(height, width) < _LEAST_SIDE:
        raise argparse.ArgumentTypeError(f"sides must have at least {_LEAST_SIDE} pixels")
    return height, width


def _labels(path: Path | None, rows: list[dict[str, Any]], chosen: list[Device]) -> dict[str, str]:
    """Names of the devices, those of kept rows included."""
    known: dict[str, str] = {}
    if path is not None and path.exists():
        known = json.loads(path.read_text(encoding="utf-8")).get("devices", {})
    known |= {device.name: device.label for device in chosen}
    return {name: known.get(name, name) for name in sorted({row["device"] for row in rows})}


def _torch_facts() -> dict[str, Any]:
    try:
        import torch
    except ImportError:
        return {}
    facts: dict[str, Any] = {}
    if torch.cuda.is_available():
        facts |= {"cuda": torch.version.cuda, "tf32": torch.backends.cudnn.allow_tf32}
    return facts


if __name__ == "__main__":
    sys.exit(main())
