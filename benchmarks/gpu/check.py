"""Everything of udg on a GPU: is it right, and how long does it take.

    python -m benchmarks.gpu.check OUT [--only PREFIX ...] [--minutes 9] [--again]

Writes OUT/check.json, one row a question, after every row; run it again and it goes on with the
rows that are missing or failed. A row that fails says why and does not stop the others. With
``--arrays numpy --height 96 --width 128`` it runs on the CPU, to try the script: what needs a GPU
is then left out.
"""

from __future__ import annotations

import json
import platform
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np

import udg
from benchmarks._shared import arguments
from udg.backend import to_numpy
from udg.model.certificate import energy_and_bound
from udg.model.duality import Duals, dual_bound
from udg.primal_dual.method import step

Row = dict[str, Any]
WEIGHTS = {"rain": udg.RAIN_WEIGHTS, "signed": udg.STRIPE_WEIGHTS}
HIDDEN = ("where", "tried", "history")  # too long to print
METHODS = {"primal-dual": udg.PrimalDual(), "joint": udg.Joint()}


class Device:
    """The arrays that are checked: CuPy's, or NumPy's to try the script."""

    def __init__(self, arrays: str) -> None:
        self.gpu = arrays == "cupy"
        if self.gpu:
            import cupy

            self.xp = cupy
        else:
            self.xp = np

    def about(self) -> Row:
        """What it was measured with."""
        made = {
            "date": time.strftime("%Y-%m-%d"),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "udg": udg.__version__,
            "device": "cpu",
        }
        if self.gpu:
            runtime = self.xp.cuda.runtime
            made |= {
                "device": runtime.getDeviceProperties(0)["name"].decode(),
                "cupy": self.xp.__version__,
                "cuda": runtime.runtimeGetVersion(),
                "driver": runtime.driverGetVersion(),
            }
        return made

    def problem(self, problem: udg.Problem) -> udg.Problem:
        """The same problem with arrays of this device."""
        planes = {
            name: None if plane is None else self.xp.asarray(plane)
            for name in ("Y", "upper_bound", "sparsity_map")
            for plane in [getattr(problem, name)]
        }
        return replace(problem, **planes)

    def milliseconds(self, work: Callable[[], Any], repeats: int) -> Row:
        """Median and spread, after a warm-up; on a GPU by events around all that it does."""
        work()
        taken = []
        for _ in range(repeats):
            if self.gpu:
                before, after = self.xp.cuda.Event(), self.xp.cuda.Event()
                self.xp.cuda.Device().synchronize()
                before.record()
                work()
                after.record()
                after.synchronize()
                taken.append(float(self.xp.cuda.get_elapsed_time(before, after)))
            else:
                began = time.perf_counter()
                work()
                taken.append(1e3 * (time.perf_counter() - began))
        return {"ms": median(taken), "least ms": min(taken), "most ms": max(taken)}


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth picture with rain at angle 0, float32."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    clean = 0.4 + 0.2 * np.sin(columns / 90 + seed) * np.cos(rows / 70)
    return udg.synthesize(clean, angle=0, density=0.1, intensity=0.3, seed=seed).rainy


def difference(got: Any, want: Any, most: float) -> Row:
    """The largest difference of two arrays, and whether it is small enough."""
    largest = float(np.max(np.abs(to_numpy(got).astype(float) - to_numpy(want))))
    return {"largest difference": largest, "agrees": largest <= most}


# --- is it right ---------------------------------------------------------------------------------


def check_kernels(device: Device, model: str, boundary: str, kind: str, extras: bool) -> Row:
    """The fused kernels against the readable step and formulas on NumPy, odd shapes and states."""
    rng = np.random.default_rng(1)
    rows = []
    for shape in ((2, 2), (37, 5), (131, 203), (256, 256)):
        Y = rng.random(shape).astype(kind)
        plane = partial(lambda s, k: rng.random(s).astype(k), shape, kind)
        here = udg.Problem(Y, WEIGHTS[model], model, boundary)
        if extras:
            here = replace(here, sparsity_map=3 * plane(), upper_bound=Y * plane())
        there, method = device.problem(here), udg.PrimalDual()
        state = method.start(here, None)
        for _ in range(23):
            state = step(here, method.steps(here.weights), state)
        found = method.advance(there, method.start(there, None), 23)
        limit = 1e-12 if kind == "float64" else 2e-5
        for got, want in zip((found.R, *found.duals), (state.R, *state.duals), strict=True):
            rows.append(difference(got, want, limit))
        answer = method.estimate(there, found)
        X, R, duals = (to_numpy(answer.X), to_numpy(answer.R), Duals(*map(to_numpy, answer.duals)))
        energy, bound = energy_and_bound(there, *answer)
        want_energy, want_bound = here.energy(X, R), dual_bound(here, duals)
        off = max(abs(energy - want_energy), abs(bound - want_bound)) / want_energy
        # Sums in float64 of values that NumPy's formulas round to float32 on the way.
        rows.append({"largest difference": off, "agrees": off <= 1e-5})
    return worst(rows)


def worst(rows: list[Row]) -> Row:
    """The row of the largest difference, which agrees if all do."""
    row = max(rows, key=lambda row: row["largest difference"])
    return {**row, "agrees": all(row["agrees"] for row in rows)}


def check_minimize(device: Device, model: str, name: str, tol: float, Y: np.ndarray) -> Row:
    """`minimize` against NumPy's, by the energies, which may differ by what both gaps allow."""
    here = udg.Problem(Y, WEIGHTS[model], model)
    there, method = device.problem(here), METHODS[name]
    want = udg.minimize(here, method, tol=tol)
    found = udg.minimize(there, method, tol=tol)
    X, R = (to_numpy(u) for u in found.estimate[:2])
    again = here.energy(X, R)
    row = {"tol": tol, "iterations": found.iterations, "NumPy's": want.iterations}
    row |= {"gap": found.gap, "off": abs(again - found.objective) / again}
    agrees = abs(found.objective - want.objective) <= 2 * tol * want.objective
    return row | {"agrees": bool(agrees and row["off"] < 1e-4 and found.reason == "gap")}


def check_transform(device: Device, boundary: str, kind: str) -> Row:
    """Transforms and their inverses."""
    from udg.model.transforms import Transform

    rows = []
    for shape in ((60, 80), (61, 83)):
        u = np.random.default_rng(2).random(shape).astype(kind)
        here, there = Transform(u, boundary), Transform(device.xp.asarray(u), boundary)
        limit = 1e-4 if kind == "float32" else 1e-10
        spectrum = there.forward(device.xp.asarray(u))
        off = np.abs(to_numpy(spectrum) - here.forward(u)).max() / 60
        rows.append({"largest difference": float(off), "agrees": bool(off <= limit)})
        rows.append(difference(there.inverse(spectrum), u, limit))
        rows.append({"largest difference": 0.0, "agrees": str(spectrum.real.dtype) == kind})
    return worst(rows)


def check_rotation(
    device: Device, angle: float, oversampling: int, convergence: float = 0.0
) -> Row:
    """There and back."""
    from udg.imaging.geometry import rotate, unrotate

    Y = scene(90, 120)
    here, there = (
        rotate(plane, angle, oversampling, convergence=convergence)
        for plane in (Y, device.xp.asarray(Y))
    )
    back = unrotate(there, angle, Y.shape, oversampling, convergence=convergence)
    want = unrotate(here, angle, Y.shape, oversampling, convergence=convergence)
    rows = [difference(there, here, 1e-4), difference(back, want, 1e-4)]
    rows.append({"largest difference": 0.0, "agrees": str(back.dtype) == "float32"})
    return worst(rows)


def check_angle(device: Device) -> Row:
    """The direction of a rendered rain."""
    rainy = udg.synthesize(scene(200, 300), angle=14, seed=3).rainy
    here, there = udg.estimate_angle(rainy), udg.estimate_angle(device.xp.asarray(rainy))
    row = {"degrees": there.degrees, "NumPy's": here.degrees}
    return row | {"agrees": abs(here.degrees - there.degrees) < 0.05}


def check_sparsity(device: Device) -> Row:
    """The sparsity map with which a stage is reweighted."""
    from udg.detection.density import LocalDensity
    from udg.detection.reweighting import sparsity_map

    rng = np.random.default_rng(4)
    light = rng.random((150, 190)).astype(np.float32)
    rain, brightest = light * rng.random(light.shape, np.float32) ** 4, np.sqrt(light)
    around = LocalDensity(0.02 + 0.1 * light, 0.03 * light, 0.1 - 0.05 * light, 0.1)
    expected = sparsity_map(light, rain, brightest, around, 0.01)
    there = (device.xp.asarray(plane) for plane in (light, rain, brightest))
    found = sparsity_map(*there, around.rotated(device.xp.asarray), 0.01)
    return difference(found, expected, 1e-3)


def check_synthesize(device: Device) -> Row:
    """Rain rendered on the device's picture."""
    clean = np.full((80, 90, 3), 100, np.uint8)
    there = udg.synthesize(device.xp.asarray(clean), angle=9, seed=2)
    return difference(there.rainy, udg.synthesize(clean, angle=9, seed=2).rainy, 1e-3)


def check_solve(device: Device, **options: Any) -> Row:
    """`solve`, from an RGB picture of 8 bits to the derained one."""
    grey = scene(160, 200)
    clean = np.stack([255 * grey, 230 * grey, 255 * grey**1.2], axis=2)
    clean = clean.round().astype(np.uint8)
    rainy = udg.synthesize(clean, angle=12, seed=5).rainy.round().astype(np.uint8)
    here, there = udg.solve(rainy, **options), udg.solve(device.xp.asarray(rainy), **options)
    row = {"angle": there.angle, "rain level": there.rain_level, "gap": there.gap}
    # Both lie within their gap of the same minimum, so pixels may differ a little.
    off = np.abs(to_numpy(there.derained) - here.derained)
    row |= {"mean difference, grey levels": float(off.mean()), "largest": float(off.max())}
    alike = abs(there.angle - here.angle) < 0.05 and abs(there.rain_level - here.rain_level) < 0.01
    kept = isinstance(there.derained, device.xp.ndarray)
    return row | {"agrees": bool(alike and kept and off.mean() < 0.5)}


def small_problems(device: Device, count: int, side: int, model: str = "rain") -> list[udg.Problem]:
    """Pictures that differ in rain, scene and weights."""
    return [
        device.problem(
            udg.Problem(scene(side, side, n), WEIGHTS[model].scaled(1 - 0.5 * n / count), model)
        )
        for n in range(count)
    ]


def check_batch(device: Device, model: str) -> Row:
    """Side by side against one after the other."""
    problems = small_problems(device, 5, 64, model)
    together = udg.minimize_batch(problems, udg.PrimalDual(), tol=5e-3)
    alone = [udg.minimize(problem, udg.PrimalDual(), tol=5e-3) for problem in problems]
    rows = [
        difference(a.estimate.R, b.estimate.R, 1e-5) for a, b in zip(together, alone, strict=True)
    ]
    same = all(a.iterations == b.iterations for a, b in zip(together, alone, strict=True))
    return {**worst(rows), "same iterations": same}


def check_seconds(device: Device, Y: np.ndarray) -> Row:
    """`Minimum.seconds` is time spent, not only time to ask for it."""
    problem = device.problem(udg.Problem(Y, udg.RAIN_WEIGHTS))
    udg.minimize(problem, udg.PrimalDual(), tol=0, max_iter=50)
    found = udg.minimize(problem, udg.PrimalDual(), tol=0, max_iter=2000)
    state = udg.PrimalDual().start(problem, None)
    real = device.milliseconds(lambda: udg.PrimalDual().advance(problem, state, 2000), 3)["ms"]
    row = {"said ms": 1e3 * found.seconds, "measured ms": real}
    return row | {"agrees": bool(0.5 < row["said ms"] / real < 2)}


# --- how long does it take -----------------------------------------------------------------------


def time_minimize(device: Device, Y: np.ndarray, name: str, model: str, tol: float) -> Row:
    """From arrays on the device to a certified gap, all of it; and what the loop is made of."""
    problem, method = device.problem(udg.Problem(Y, WEIGHTS[model], model)), METHODS[name]
    found = udg.minimize(problem, method, tol=tol, history=True)
    row = device.milliseconds(
        lambda: udg.minimize(problem, method, tol=tol), 20 if device.gpu else 3
    )
    row |= {"tol": tol, "gap": found.gap, "iterations": found.iterations}
    row |= {"checks": len(found.history), "loop ms": 1e3 * found.seconds}
    return row | {"history": [(look.iteration, look.gap, look.objective) for look in found.history]}


def time_parts(device: Device, Y: np.ndarray, model: str) -> Row:
    """One iteration (of 1,000) and one look at the certificate."""
    problem, method = device.problem(udg.Problem(Y, WEIGHTS[model], model)), udg.PrimalDual()
    many = 1000 if device.gpu else 20
    state = method.advance(problem, method.start(problem, None), 50)
    loop = device.milliseconds(lambda: method.advance(problem, state, many), 5)
    look = device.milliseconds(
        lambda: energy_and_bound(problem, *method.estimate(problem, state)), 20 if device.gpu else 3
    )
    return {"µs an iteration": 1e3 * loop["ms"] / many, "ms a look": look["ms"], "loop": loop}


def time_solve(device: Device, height: int, width: int) -> Row:
    """`solve` with everything automatic, picture on the device."""
    grey = scene(height, width)
    rainy = udg.synthesize(np.stack([grey] * 3, axis=2), angle=12, seed=5).rainy
    there = device.xp.asarray((255 * rainy).round().astype(np.uint8))
    return device.milliseconds(lambda: udg.solve(there), 3)


def time_batch(device: Device, count: int, side: int) -> Row:
    """Small pictures side by side, and one after the other."""
    problems = small_problems(device, count, side)
    together = device.milliseconds(
        lambda: udg.minimize_batch(problems, udg.PrimalDual(), tol=1e-2), 5 if device.gpu else 1
    )
    alone = device.milliseconds(
        lambda: [udg.minimize(problem, udg.PrimalDual(), tol=1e-2) for problem in problems], 1
    )
    return {"together": together, "alone": alone, "ratio": alone["ms"] / together["ms"]}


def measure_memory(device: Device, Y: np.ndarray) -> Row:
    """What CuPy's pool grows to, in single-precision copies of the picture; Y itself is one."""
    pool = device.xp.get_default_memory_pool()
    pool.free_all_blocks()
    problem = device.problem(udg.Problem(Y, udg.RAIN_WEIGHTS))
    before = pool.total_bytes()
    udg.minimize(problem, udg.PrimalDual(), tol=1e-2)
    return {"copies": 1 + (pool.total_bytes() - before) / Y.nbytes}


def tune(device: Device, shape: tuple[int, int, int], kind: str) -> Row:
    """Every plan of the sweep: whether it is right, its time, and how the chosen one compares."""
    from udg.model._cuda import Stack, cupy_launcher
    from udg.primal_dual import _cupy

    images, height, width = shape
    launcher, method, weights = cupy_launcher(), udg.PrimalDual(), udg.RAIN_WEIGHTS
    size = np.dtype(kind).itemsize
    problems = tuple(
        device.problem(udg.Problem(scene(height, width, n % 4).astype(kind), weights))
        for n in range(images)
    )
    stack = Stack.of(problems, device.xp)
    steps = [method.steps(weights)] * images
    chosen = _cupy.plan_for(shape, size, launcher.processors, launcher.shared_bytes)

    def sweep(plan: Any) -> tuple[Any, ...]:
        # From zero each time, for a sweep uses up what it is given.
        fields = tuple(device.xp.zeros_like(stack.Y) for _ in range(5))
        return _cupy._sweep(stack, steps, fields, 96, launcher, plan)

    want = sweep(chosen)
    tried = []
    for plan in _cupy.plans(size, launcher.shared_bytes):
        row: Row = {"plan": plan._asdict()}
        try:
            pairs = zip(sweep(plan), want, strict=True)
            off = max(float(abs(one - other).max()) for one, other in pairs)
            row |= {"largest difference": off, "agrees": off <= 2e-5}
            taken = device.milliseconds(partial(sweep, plan), 5)["ms"]
            row |= {"µs an iteration": 1e3 * taken / 96}
        except Exception as error:
            row["error"] = f"{type(error).__name__}: {error}"
        tried.append(row)
    good = [row for row in tried if row.get("agrees") and "error" not in row]
    good.sort(key=lambda row: row["µs an iteration"])
    row = {"agrees": len(good) == len(tried), "chosen": chosen._asdict(), "tried": tried}
    if good:
        row |= {"best": good[0], "minimize with the best": []}
        own = [each["µs an iteration"] for each in good if each["plan"] == chosen._asdict()]
        row |= {"chosen's µs an iteration": own[0] if own else None}
        usual = _cupy._best
        try:
            _cupy._best = lambda stack, launcher: _cupy.Plan(**good[0]["plan"])
            for tol in (1e-2, 2e-3, 1e-3):
                row["minimize with the best"].append(
                    {"tol": tol}
                    | device.milliseconds(
                        lambda tol=tol: udg.minimize_batch(problems, method, tol=tol), 5
                    )
                )
        finally:
            _cupy._best = usual
    return row


def questions(device: Device, height: int, width: int) -> dict[str, Callable[[], Row]]:
    """All rows by name: what is right first, then times."""
    Y, quarter = scene(height, width), scene(max(32, height // 4), max(32, width // 4))
    rows: dict[str, Callable[[], Row]] = {}
    for model in WEIGHTS:
        for boundary in ("reflecting", "periodic"):
            for kind in ("float32", "float64"):
                for extras in (False, True):
                    name = f"kernels {model} {boundary} {kind}{' extras' if extras else ''}"
                    rows[name] = partial(check_kernels, device, model, boundary, kind, extras)
    for boundary in ("reflecting", "periodic"):
        for kind in ("float32", "float64"):
            name = f"transform {boundary} {kind}"
            rows[name] = partial(check_transform, device, boundary, kind)
    for angle, oversampling, convergence in (
        (12.3, 1, 0),
        (-31.0, 2, 0),
        (90.0, 1, 0),
        (12.3, 1, -9),
        (0, 2, 5),
    ):
        name = f"rotation {angle:g} {oversampling}{f' {convergence}' if convergence else ''}"
        rows[name] = partial(check_rotation, device, angle, oversampling, convergence)
    rows["angle"] = partial(check_angle, device)
    rows["sparsity"] = partial(check_sparsity, device)
    rows["synthesize"] = partial(check_synthesize, device)
    for model in WEIGHTS:
        rows[f"batch {model}"] = partial(check_batch, device, model)
        for name in METHODS:
            for tol in (1e-2, 2e-3):
                rows[f"minimize {model} {name} {tol:g}"] = partial(
                    check_minimize, device, model, name, tol, quarter
                )
    rows["solve automatic"] = partial(check_solve, device)
    rows["solve angle"] = partial(check_solve, device, angle=12)
    rows["solve layers"] = partial(check_solve, device, angle=[12, -20])
    rows["solve signed"] = partial(check_solve, device, model="signed")
    rows["solve joint"] = partial(check_solve, device, angle=12, method="joint")
    for tol in (1e-2, 2e-3, 1e-3):
        for model in WEIGHTS:
            rows[f"time {model} primal-dual {tol:g}"] = partial(
                time_minimize, device, Y, "primal-dual", model, tol
            )
    rows["time rain joint 0.01"] = partial(time_minimize, device, Y, "joint", "rain", 1e-2)
    for model in WEIGHTS:
        rows[f"time parts {model}"] = partial(time_parts, device, Y, model)
    rows["time solve"] = partial(time_solve, device, height, width)
    side = min(height, width, 256)
    rows[f"time batch 100 {side}"] = partial(time_batch, device, 100 if device.gpu else 4, side)
    if device.gpu:
        rows["seconds"] = partial(check_seconds, device, Y)
        rows["memory"] = partial(measure_memory, device, Y)
        for kind in ("float32", "float64"):
            rows[f"tune {height}x{width} {kind}"] = partial(tune, device, (1, height, width), kind)
        rows["tune 480x320 float32"] = partial(tune, device, (1, 480, 320), "float32")
        rows["tune 100 of 256x256 float32"] = partial(tune, device, (100, 256, 256), "float32")
    return rows


def plain(value: Any) -> Any:
    """JSON of NumPy's and CuPy's scalars."""
    return value.item()


def main() -> None:
    """Answer the questions that have no answer yet, and say which answers are bad."""
    parser = arguments.parser(
        __doc__, "out", minutes={"default": 9, "help": "begin no row after this"}
    )
    parser.add_argument("--arrays", choices=["cupy", "numpy"], default="cupy")
    parser.add_argument("--height", type=int, default=1024)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--only", nargs="+", default=[""], metavar="PREFIX", help="of rows' names")
    parser.add_argument("--again", action="store_true", help="also the rows that are there")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "check.json"

    device = Device(options.arrays)
    about = device.about() | {"height": options.height, "width": options.width}
    rows: dict[str, Row] = {}
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["about"]["device"] != about["device"]:
            raise SystemExit(f"{path} is of {kept['about']['device']}; give another folder")
        rows = kept["rows"]

    began = time.monotonic()
    left = 0
    for name, ask in questions(device, options.height, options.width).items():
        if not name.startswith(tuple(options.only)):
            continue
        if name in rows and "error" not in rows[name] and not options.again:
            continue
        if time.monotonic() - began > 60 * options.minutes:
            left += 1
            continue
        started = time.monotonic()
        try:
            row = ask()
        except Exception as error:
            row = {"error": f"{type(error).__name__}: {error}", "where": traceback.format_exc()}
        rows[name] = row | {"took s": round(time.monotonic() - started, 2)}
        brief = {key: value for key, value in rows[name].items() if key not in HIDDEN}
        print(name, json.dumps(brief, ensure_ascii=False, default=plain), flush=True)
        # After every row: a time limit loses nothing that was measured.
        text = json.dumps(
            {"about": about, "rows": rows}, indent=1, ensure_ascii=False, default=plain
        )
        path.write_text(text + "\n", encoding="utf-8")

    if left:
        print(f"{left} rows are left: run the same command again", file=sys.stderr)
    bad = [name for name, row in rows.items() if "error" in row or not row.get("agrees", True)]
    if bad:
        raise SystemExit("failed, or not the same as on NumPy: " + "; ".join(bad))


if __name__ == "__main__":
    main()
