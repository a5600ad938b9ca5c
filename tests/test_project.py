"""What holds the project together: exports, docstrings, imports, the README and CI."""

import dataclasses
import doctest
import importlib
import inspect
import itertools
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from numpydoc.docscrape import ClassDoc, FunctionDoc

import udg

PACKAGE = Path(udg.__file__).parent
ROOT = PACKAGE.parent
# The plugin brings Qt and a dozen seconds of imports; tests/test_napari.py looks at it.
APART = {"udg.napari"}
MODULES = [
    "udg",
    *sorted({m.name for m in pkgutil.walk_packages(udg.__path__, "udg.")} - APART),
]
# Rooms whose face hands nothing on only say what lives there.
ROOMS = {
    "udg.model", "udg.optim", "udg.imaging", "udg.detection", "udg.pipeline", "udg.io",
    "udg.quality", "udg.viz",
}  # fmt: skip
PUBLIC_MODULES = [
    name for name in MODULES if name not in ROOMS and not any(p[0] == "_" for p in name.split("."))
]

# Everything that `import udg` promises. Change it here and in `udg/__init__.py` together.
PUBLIC = {
    "constants": {"PAPER", "PAPER_WEIGHTS", "RAIN_WEIGHTS", "STRIPE_WEIGHTS", "__version__"},
    "functions": {
        "estimate_angle",
        "minimize",
        "minimize_batch",
        "niqe",
        "objective",
        "psnr_rgb",
        "psnr_y",
        "render_streaks",
        "solve",
        "solve_blocks",
        "solve_tiles",
        "ssim_y",
        "synthesize",
    },
    "methods": {"Alternating", "Joint", "PrimalDual"},
    "records": {
        "Angle",
        "Checkpoint",
        "LazyResult",
        "Problem",
        "Progress",
        "Result",
        "Solved",
        "StageResult",
        "Synthetic",
        "TiledResult",
        "Weights",
    },
    "errors": {
        "ClusterError",
        "Diverged",
        "FileError",
        "InvalidImage",
        "InvalidInput",
        "MissingExtra",
        "UdgError",
    },
}


def read(name: str) -> str:
    """A file of the checkout; skips where the tests run without one."""
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"{name} is not beside the package: it is installed, not a checkout")
    return path.read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Code blocks of a Markdown text."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


# Exports


def test_udg_exports_what_is_documented() -> None:
    assert set(udg.__all__) == set().union(*PUBLIC.values())
    assert len(udg.__all__) == len(set(udg.__all__))


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_every_public_module_has_an_all_that_resolves(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__all__
    missing = [entry for entry in module.__all__ if not hasattr(module, entry)]
    assert not missing


def test_import_is_light() -> None:
    """Nothing slow is imported, hence nothing compiled: numba itself is not there."""
    program = "import sys, udg; print(*sorted(sys.modules), sep='\\n')"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    loaded = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "udg.pipeline.whole" in loaded
    heavy = {
        "click",
        "cupy",
        "dask",
        "distributed",
        "llvmlite",
        "matplotlib",
        "numba",
        "pyfftw",
        "scipy.fft",
        "skimage",
    }
    assert not {*heavy, "torch"} & set(loaded)


# Docstrings


def documented_objects() -> list[tuple[str, object]]:
    """Functions and classes of the public modules, and their public methods, each once."""
    found: dict[str, object] = {}
    for name in PUBLIC_MODULES:
        module = importlib.import_module(name)
        for entry in module.__all__:
            thing = getattr(module, entry)
            if not (inspect.isfunction(thing) or inspect.isclass(thing)):
                continue
            if "<locals>" in thing.__qualname__:  # made by a function, as click's decorators are
                continue
            found[f"{thing.__module__}.{thing.__qualname__}"] = thing
            if inspect.isclass(thing):
                for method in vars(thing).values():
                    if inspect.isfunction(method) and not method.__name__.startswith("_"):
                        found[f"{method.__module__}.{method.__qualname__}"] = method
    return [pytest.param(name, found[name], id=name) for name in sorted(found)]


def names_in(section: list) -> list[str]:
    """Names of a numpydoc section; ``X, R : array`` documents two."""
    return [name.strip(" *") for entry in section for name in entry.name.split(",")]


def fields_of(thing: type) -> list[str]:
    """What a record is made of, in order."""
    if dataclasses.is_dataclass(thing):
        return [field.name for field in dataclasses.fields(thing)]
    return list(getattr(thing, "_fields", ()))


def arguments_of(function: object) -> list[str]:
    """What a function takes, in order, without ``self``."""
    return [name for name in inspect.signature(function).parameters if name != "self"]


@pytest.mark.parametrize(("name", "thing"), documented_objects())
def test_a_parameter_section_says_what_the_signature_says(name: str, thing: object) -> None:
    """Whatever has such a section documents all, in the signature's order, and nothing else."""
    assert inspect.getdoc(thing)
    if inspect.isclass(thing):
        doc = ClassDoc(thing, config={"show_class_members": False})
        attributes, parameters = names_in(doc["Attributes"]), names_in(doc["Parameters"])
        fields = fields_of(thing)
        if parameters:
            assert parameters == (fields or arguments_of(thing.__init__))
        elif attributes and fields:
            assert attributes == fields
    else:
        parameters = names_in(FunctionDoc(thing)["Parameters"])
        if parameters:
            assert parameters == arguments_of(thing)


@pytest.mark.parametrize("name", sorted(PUBLIC["functions"]))
def test_every_exported_function_has_its_sections(name: str) -> None:
    doc = FunctionDoc(getattr(udg, name))
    assert names_in(doc["Parameters"]) == arguments_of(getattr(udg, name))
    assert doc["Returns"]


@pytest.mark.parametrize("name", sorted(PUBLIC["methods"] | PUBLIC["records"]))
def test_every_exported_record_documents_its_fields(name: str) -> None:
    doc = ClassDoc(getattr(udg, name), config={"show_class_members": False})
    assert names_in(doc["Attributes"]) == fields_of(getattr(udg, name))


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_solve_and_synthesize_have_examples() -> None:
    finder = doctest.DocTestFinder(recurse=False)
    for function in (udg.solve, udg.synthesize):
        assert any(test.examples for test in finder.find(function))


# README, changelog, CI


def test_ci_runs_the_readme_command() -> None:
    commands = blocks(read("README.md"), "sh")
    test = [command.strip() for command in commands if "pytest" in command]
    assert len(test) == 1
    install, last = test[0].rsplit(" && .venv/bin/", 1)
    assert install in read(".ci/run").splitlines()
    assert "scripts/check" in read(".ci/run")
    assert last == read("scripts/check").strip().splitlines()[-1]


def test_readme_has_a_command_that_runs_the_demo() -> None:
    assert [c for c in blocks(read("README.md"), "sh") if c.strip().endswith("udg demo")]


def test_readme_names_the_defaults() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `--[\w-]+` \| (\S+) \|", read("README.md"), re.MULTILINE)
    said = dict(rows)
    weights = dataclasses.asdict(udg.RAIN_WEIGHTS)
    assert {name: float(said.pop(name)) for name in weights} == weights
    assert int(said.pop("stages")) == udg.pipeline.options.STAGES
    assert said.pop("n_layers") == "auto"
    parameters = inspect.signature(udg.solve).parameters
    assert said == {name: str(parameters[name].default) for name in said}
    assert set(said) == {"strength", "rain_level", "angle", "working_scale"}


def test_readme_links_lead_somewhere() -> None:
    def anchors(text: str) -> set[str]:
        headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
        return {heading.lower().replace(" ", "-") for heading in headings}

    for target in re.findall(r"\]\(([^)]+)\)", read("README.md")):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            path = path or "README.md"
            assert (ROOT / path).exists(), target
            assert not anchor or anchor in anchors(read(path)), target


def test_readme_picture_is_small() -> None:
    read("README.md")
    assert (ROOT / "docs" / "demo.png").stat().st_size <= 600_000


def test_changelog_is_about_this_version() -> None:
    versions = re.findall(r"^## \[(.+?)\]", read("CHANGELOG.md"), flags=re.MULTILINE)
    assert versions[0] == udg.__version__


def test_constraints_allow_what_is_required() -> None:
    """Every requirement of setup.cfg has a version there that satisfies it; cupy is not tested."""
    import configparser

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pins = dict(
        line.split("==")
        for line in read("constraints.txt").splitlines()
        if not line.startswith("#")
    )
    config = configparser.ConfigParser()
    config.read_string(read("setup.cfg"))
    extras = config["options.extras_require"]
    wanted = [
        config["options"]["install_requires"],
        *(
            extras[e]
            for e in ("net", "train", "benchmarks", "app", "napari", "docs", "test", "dev")
        ),
    ]
    lines = itertools.chain.from_iterable(text.split("\n") for text in wanted)
    requirements = [Requirement(line) for line in lines if line and "%" not in line]
    assert len(requirements) > 15
    for requirement in requirements:
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement
