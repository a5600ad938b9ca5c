"""Every table and figure of the paper, and every other measurement: which command makes it.

One entry a measurement, the paper's first. `python -m benchmarks` lists and runs them, and with
--quick runs all of them on tiny pictures, so a script needs options that make it small. A test sees
to it that no script is forgotten.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes
    ----------
    command : str
        A module and its arguments, as after ``python -m``. {data} is DATA_DIR, {out} the folder for
        results; {data?} is left out if there is no DATA_DIR.
    quick : str
        Added with --quick: of an option that is given twice the second counts.
    """

    command: str
    quick: str = ""

    @property
    def module(self) -> str:
        """What is run."""
        return shlex.split(self.command)[0]

    @property
    def needs_data(self) -> bool:
        """Whether it cannot do without DATA_DIR."""
        return "{data}" in self.command

    def arguments(self, data: Path | None, out: Path, quick: bool = False) -> list[str]:
        """All that comes after the module."""
        words = shlex.split(f"{self.command} {self.quick if quick else ''}")[1:]
        known = {"{data}": data, "{data?}": data, "{out}": out}
        filled = []
        for word in words:
            if word == "{data?}" and data is None:
                continue
            for name, path in known.items():
                word = word.replace(name, str(path))
            filled.append(word)
        return filled


@dataclass(frozen=True)
class Benchmark:
    """An entry.

    Attributes
    ----------
    name : str
        By which it is run.
    shows : str
        What it shows, in one line.
    steps : tuple of Step
        One after the other.
    needs : tuple of str
        Modules without which it is skipped.
    gpu : bool
        It is skipped where there is no GPU, except with --quick.
    """

    name: str
    shows: str
    steps: tuple[Step, ...]
    needs: tuple[str, ...] = ()
    gpu: bool = False

    @property
    def needs_data(self) -> bool:
        """Whether it cannot do without DATA_DIR."""
        return any(step.needs_data for step in self.steps)


BENCHMARKS = (
    # The paper's
    Benchmark(
        "table-1",
        "PSNR and SSIM of every method where the clean picture is known",
        (
            Step(
                "benchmarks.tables.synthetic {data} --cache {out} --json {out}/synthetic.json",
                "--sets rain100l-dev --methods rain udg-paper udg udgnet --every 2",
            ),
        ),
        needs=("torch", "sklearn"),
    ),
    Benchmark(
        "table-2",
        "real photos: NIQE of every method's results",
        (
            Step(
                "benchmarks.tables.real {data} -o {out} --cache {out} --json {out}/real.json",
                "--methods rain udg udgnet --every 2",
            ),
        ),
        needs=("torch", "sklearn", "skvideo"),
    ),
    Benchmark(
        "table-2-study",
        "a page on which people rate real photos blind; `tables.study fold` counts",
        (
            Step("udg derain {data}/realrain60/rainy -o {out}/udg"),
            Step(
                "benchmarks.tables.study page rain={data}/realrain60/rainy udg={out}/udg -o"
                " {out}/study.html"
                " --scenes 12",
                "--scenes 2 --side 64",
            ),
        ),
    ),
    Benchmark(
        "look",
        "sheets for a blind look at real photos; `solver.look count` counts what judges said",
        (
            Step("udg derain {data}/realrain60/rainy -o {out}/udg"),
            Step(
                "benchmarks.solver.look sheets {data}/realrain60/rainy {out}/udg -o {out}/sheets",
                "--side 256",
            ),
        ),
    ),
    Benchmark(
        "table-3",
        "model size and running time of every method, 1024×2048",
        (
            Step(
                "benchmarks.tables.runtime {data?} --json {out}/runtime.json --plot"
                " {out}/runtime.png",
                "--size 32x48 --repeats 1 --device cpu",
            ),
        ),
        needs=("torch", "sklearn"),
    ),
    Benchmark(
        "table-4",
        "what an error of the angle costs",
        (
            Step(
                "benchmarks.tables.angle_error {data} --json {out}/angle_error.json -o {out}",
                "--sets rain100l-dev --offsets 10 --every 2",
            ),
        ),
        needs=("torch",),
    ),
    Benchmark(
        "table-5",
        "what each term of the network's loss is worth: seven cases, trained alike",
        (
            Step(
                "benchmarks.tables.loss_terms {data} --json {out}/loss_terms.json",
                "--steps 2 --width 4 --depth 1 --crop 32",
            ),
        ),
        needs=("torch",),
    ),
    Benchmark(
        "figure-2",
        "gradients along and across, of clean pictures and of rain",
        (
            Step(
                "benchmarks.figures.gradients {data} --json {out}/gradients.json -o {out}",
                "--sets rain100l-dev --every 2",
            ),
        ),
    ),
    Benchmark(
        "figure-4",
        "what turning brings a network: rain of mixed angles against upright rain",
        (
            Step(
                "benchmarks.figures.turned {data} --json {out}/turned.json -o {out}",
                "--steps 2 --pictures 2 --tests 1 --seeds 1",
            ),
        ),
        needs=("torch",),
    ),
    Benchmark(
        "figures-5-7",
        "pictures, what each method makes of them, and where they differ most",
        (
            Step(
                "benchmarks.figures.sheets {data} -o {out} --json {out}/sheets.json",
                "--sets rain100l-dev --methods udg udgnet --part 1",
            ),
        ),
        needs=("torch", "sklearn"),
    ),
    Benchmark(
        "figure-8",
        "the ratio of λx to λy, and where `strength` lies on it",
        (
            Step(
                "benchmarks.figures.ratio {data} --json {out}/ratio.json -o {out}",
                "--sets rain100l-dev --ratios 1 3 --every 2",
            ),
        ),
    ),
    Benchmark(
        "figure-9",
        "one picture alone: networks trained on it, and deep image prior for the same time",
        (
            Step(
                "benchmarks.figures.single_image {data} --recipes energy distilled packaged adapted"
                " --json {out}/single_image.json",
                "--recipes energy --steps 2 --pictures 1 --no-dip",
            ),
        ),
        needs=("torch",),
    ),
    Benchmark(
        "figure-10",
        "streaks go, the veil of distant rain stays",
        (Step("benchmarks.figures.veil -o {out} --json {out}/veil.json"),),
    ),
    Benchmark(
        "convergence",
        "streaks that meet in a point: found, and what straightening them gains",
        (
            Step(
                "benchmarks.solver.convergence --json {out}/convergence.json",
                "--photos 1 --degrees 0 6",
            ),
        ),
    ),
    # The solver
    Benchmark(
        "pairs",
        "PSNR and SSIM of udg.solve on pairs, and what got worse",
        (Step("udg evaluate {data}/rain100l-dev --jobs 2 --json {out}/pairs.json", "--jobs 1"),),
    ),
    Benchmark(
        "angle",
        "error of the estimated angle: labelled photos, rendered rain, turned photos",
        (
            Step(
                "benchmarks.solver.angle {data} --methods spectrum tilt --json {out}/angle.json",
                "--quick --methods spectrum",
            ),
        ),
    ),
    Benchmark(
        "harm",
        "what becomes of photos without rain",
        (Step("benchmarks.solver.harm {data} --json {out}/harm.json", "--jobs 1"),),
    ),
    Benchmark(
        "ablation",
        "what each ingredient of udg.solve gains on rain and costs where there is none",
        (
            Step(
                "benchmarks.solver.ablation {data} --json {out}/ablation.json", "--part 4 --jobs 1"
            ),
        ),
    ),
    Benchmark(
        "chroma",
        "what results gain in colour where rain was",
        (Step("benchmarks.solver.chroma {data} --json {out}/chroma.json", "--jobs 1"),),
    ),
    Benchmark(
        "niqe",
        "quality of real photos without a reference, before and after",
        (
            Step("udg derain {data}/realrain60/rainy -o {out}/derained"),
            Step(
                "benchmarks.solver.niqe {data}/realrain60/rainy {out}/derained --json"
                " {out}/niqe.json"
            ),
        ),
        needs=("skvideo",),
    ),
    Benchmark(
        "tiles",
        "how pictures in tiles differ from the same in one piece",
        (
            Step(
                "benchmarks.solver.tiles {data} -o {out} --json {out}/tiles.json",
                "--tile 48 --count 1",
            ),
        ),
    ),
    Benchmark(
        "stripes",
        "stripes of thirteen kinds, and a satellite's",
        (Step("benchmarks.solver.stripes {data?} --json {out}/stripes.json", "--size 64"),),
    ),
    Benchmark(
        "speed",
        "whole calls; time to the minimum in FFTs, beside other libraries and the paper; memory",
        (
            Step(
                "benchmarks.solver.speed {data} --cache {out} --json {out}/speed.json --plot"
                " {out}/speed.png",
                "--only calls fft alternation memory sizes --angles 0 --repeats 1"
                " --reference-tol 1e-2 --pictures 1 --large 0.05 --frames 2"
                " --side 48 --memory-side 64 --megapixels 0.004",
            ),
        ),
    ),
    Benchmark(
        "agreement",
        "one photo at half, once, twice and four times its size",
        (
            Step(
                "benchmarks.solver.agreement {data} --json {out}/agreement.json",
                "--pictures 1 --sizes 1 2",
            ),
        ),
    ),
    Benchmark(
        "scale",
        "large pictures: memory and time a megapixel, and how well tiles fit together",
        (
            Step(
                "benchmarks.solver.scale {data}/clean/cityscapes --json {out}/scale.json",
                "--size 64 96 --timed 64 96 --tile 96 --overlaps 16",
            ),
        ),
        needs=("zarr",),
    ),
    Benchmark(
        "cluster",
        "two workers of a Dask cluster against one",
        (
            Step(
                "benchmarks.solver.cluster --json {out}/cluster.json",
                "--repeats 1 --side 32 --pictures 2 --threads",
            ),
        ),
        needs=("distributed",),
    ),
    # What is shipped
    Benchmark(
        "streaks",
        "what tells streaks from letters and railings: udg.detection.streaks, each feature alone",
        (Step("benchmarks.fit.streaks {data} --json {out}/streaks.json", "--jobs 1"),),
        needs=("torch",),
    ),
    Benchmark(
        "rain-level",
        "whether there is rain: udg.detection.rain_level, and what it misses",
        (Step("benchmarks.fit.rain_level {data} --json {out}/rain_level.json", "--jobs 1"),),
    ),
    Benchmark(
        "refit",
        "the parameter files of udg.detection made anew, beside the present ones",
        (Step("benchmarks.fit.refit {data} --json {out}/refit.json", "--jobs 1"),),
        needs=("torch",),
    ),
    # What it is compared with
    Benchmark(
        "dsc",
        "discriminative sparse coding on pairs",
        (
            Step(
                "benchmarks.baselines.evaluate dsc {data}/rain100l-dev --json {out}/dsc.json",
                "--every 2",
            ),
        ),
        needs=("sklearn",),
    ),
    Benchmark(
        "gmm",
        "layer priors on pairs",
        (
            Step(
                "benchmarks.baselines.evaluate gmm {data}/rain100l-dev --photos"
                " {data}/clean/bsds353"
                " --cache {out} --json {out}/gmm.json",
                "--every 2 --patches 500 --components 4",
            ),
        ),
        needs=("sklearn",),
    ),
    Benchmark(
        "networks",
        "training a network that the paper compares with (DDN), and measuring it",
        (
            Step(
                "benchmarks.baselines.networks.render {data}/clean/bsds353 {out}/pairs",
                "--every 2",
            ),
            Step(
                "benchmarks.baselines.networks.train ddn {out}/pairs -o {out}/ddn.safetensors",
                "--steps 2 --batch 2 --crop 32 --device cpu --threads 1",
            ),
            Step(
                "benchmarks.baselines.evaluate ddn {data}/rain100l-dev --weights"
                " {out}/ddn.safetensors"
                " --json {out}/ddn.json",
                "--every 2",
            ),
        ),
        needs=("torch", "sklearn"),
    ),
    Benchmark(
        "network-sizes",
        "parameters of the networks beside those in the literature",
        (Step("benchmarks.baselines.networks.sizes"),),
        needs=("torch",),
    ),
    # The network
    Benchmark(
        "weights",
        "how the packaged weights were made (hours)",
        (
            Step("benchmarks.net.train_weights {data} {out}/run", "--steps 2 --threads 1"),
            Step("benchmarks.net.angle_net train {data} {out}/run", "--steps 2 --rendered 4"),
        ),
        needs=("torch",),
    ),
    Benchmark(
        "angle-net",
        "error of the packaged angle network on turned copies of real photos",
        (Step("benchmarks.net.angle_net measure {data} small --json {out}/angle_net.json"),),
        needs=("torch",),
    ),
    Benchmark(
        "harm-net",
        "what becomes of photos without rain by the packaged network",
        (
            Step(
                "benchmarks.solver.harm {data} --method net --json {out}/harm_net.json", "--jobs 1"
            ),
        ),
        needs=("torch",),
    ),
    Benchmark(
        "rotate-back",
        "which layer of the network to rotate back, rain or background",
        (Step("benchmarks.net.rotate_back {data} --json {out}/rotate_back.json"),),
        needs=("torch",),
    ),
    Benchmark(
        "net-sheet",
        "twelve real photos beside the solver's and the network's results, to look at",
        (Step("benchmarks.net.net_sheet {data} {out}", "--photos 1"),),
        needs=("torch",),
    ),
    # What wants a GPU
    Benchmark(
        "gpu-check",
        "CuPy against NumPy, and how fast it is",
        (
            Step(
                "benchmarks.gpu.check {out}",
                "--arrays numpy --height 48 --width 64"
                " --only 'kernels rain reflecting float32' transform",
            ),
        ),
        gpu=True,
    ),
    Benchmark(
        "gpu-forward",
        "the forward pass of UDGNet, 1024×2048, eager and compiled",
        (
            Step(
                "benchmarks.gpu.forward {out}",
                "--device cpu --height 64 --width 96 --repeat 1 --no-compile",
            ),
        ),
        needs=("torch",),
        gpu=True,
    ),
    Benchmark(
        "gpu-train",
        "seconds a step of the paper's training (resumes)",
        (
            Step(
                "benchmarks.gpu.train {out} --data {data}/rain100l-dev/rainy",
                "--device cpu --width 4 --depth 1 --steps 2 --minutes 1",
            ),
        ),
        needs=("torch",),
        gpu=True,
    ),
    Benchmark(
        "gpu-table-5",
        "Table 5 at the paper's size (resumes)",
        (
            Step(
                "benchmarks.gpu.loss_terms {out} --data {data}",
                "--device cpu --width 4 --depth 1 --crop 32 --steps 2 --cases 4 --minutes 5",
            ),
        ),
        needs=("torch",),
        gpu=True,
    ),
    Benchmark(
        "gpu-baselines",
        "a network that the paper compares with (DDN), trained for some minutes and evaluated",
        (
            Step(
                "benchmarks.gpu.baselines {out} ddn {data}",
                "--device cpu --steps 2 --batch 2 --crop 32 --minutes 1",
            ),
        ),
        needs=("torch", "sklearn"),
        gpu=True,
    ),
)

#: Scripts that are no measurement of their own, and why.
NOT_LISTED = {
    "benchmarks.__main__": "runs the others",
    "benchmarks._shared.call": "solver.calls runs it, once a picture",
    "benchmarks._shared.peak": "solver.speed runs it, once a call",
}


def scripts() -> set[str]:
    """Every module below this folder that can be run by itself."""
    return {
        ".".join(path.relative_to(FOLDER.parent).with_suffix("").parts)
        for path in FOLDER.rglob("*.py")
        if "\nif __name__ == " in path.read_text(encoding="utf-8")
    }


def find(name: str) -> Benchmark:
    """The entry of a name.

    Raises
    ------
    KeyError
        There is none.
    """
    return {benchmark.name: benchmark for benchmark in BENCHMARKS}[name]
