"""The documentation: every code block of every page is run, and names and links are right.

A page is run from top to bottom in a folder with the files of `prepared`. In ``python`` blocks
names live on from block to block; each line of an ``sh`` block is a ``udg`` command. A comment
before a block says what a reader has and the text does not show, or that it cannot be run here::

    <!-- first: image = np.zeros((48, 64)) -->
    <!-- not run: needs a cluster -->

What is not run is still looked at: commands and options of ``udg`` must exist, and names and
arguments of ``udg`` in Python. The pages are built, and the examples run, by Sphinx (CONTRIBUTING).
"""

import ast
import importlib
import inspect
import pkgutil
import re
import shlex
import sys
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import udg
from udg.cli import main

ROOT = Path(udg.__file__).parent.parent
DOCS = ROOT / "docs"
if not (DOCS / "conf.py").exists():
    pytest.skip("the documentation is not beside the package", allow_module_level=True)
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")])
sys.path.insert(0, str(DOCS / "extensions"))


class Block(NamedTuple):
    """A fenced block, and the comment before it."""

    page: str
    language: str
    code: str
    first: str
    runs: bool


def blocks(path: Path) -> list[Block]:
    """All blocks of code of a page."""
    found = []
    pattern = r"(?:^<!-- (first|not run): (.*?) -->\n)?^```(\S*)[^\n]*\n(.*?)^```$"
    for match in re.finditer(pattern, path.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        kind, words, language, code = match.groups()
        if not language.startswith("{"):
            first = words if kind == "first" else ""
            found.append(Block(path.name, language, code, first, kind != "not run"))
    return found


def rainy(seed: int) -> np.ndarray:
    """A small picture in the rain, uint8 RGB."""
    clean = np.full((64, 80, 3), (70, 80, 90), np.uint8)
    return udg.synthesize(clean, angle=12, length=20, seed=seed).rainy.round().astype(np.uint8)


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the pages speak of, in the current folder."""
    import tifffile
    import zarr

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    for folder in ("photos", "more", "pairs/rainy", "pairs/clean"):
        Path(folder).mkdir(parents=True)
    for number, name in enumerate(("rainy.png", "rainy.jpg", "photos/a.png", "photos/b.jpg")):
        Image.fromarray(rainy(number)).save(name)
    for name in ("more/c.tif", "scan.tif", "striped.tif"):
        tifffile.imwrite(name, rainy(4), photometric="rgb")
    tifffile.imwrite("counts.tif", (rainy(5)[..., 0].astype(np.uint16) << 4))
    for name in ("scan.zarr", "rainy.zarr"):
        array = zarr.create_array(name, shape=(64, 80, 3), chunks=(64, 80, 3), dtype="uint8")
        array[:] = rainy(6)
    clean = np.full((64, 80, 3), (70, 80, 90), np.uint8)
    Image.fromarray(clean).save("clean.png")
    Image.fromarray(clean).save("pairs/clean/one.png")
    Image.fromarray(rainy(7)).save("pairs/rainy/one.png")
    return tmp_path


def commands(code: str) -> list[list[str]]:
    """Arguments of every ``udg`` line; other lines must be in a block that is not run."""
    lines = code.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("udg ")]


def run_shell(code: str) -> None:
    """Run each line as if ``--overwrite`` were given: lines of a page are often alternatives."""
    for line in code.splitlines():
        assert not line or line.startswith(("udg ", "#", " ")), f"mark it as not run: {line}"
    for program, command, *rest in commands(code):
        assert program == "udg"
        overwrite = {} if "--resume" in rest else {command: {"overwrite": True}}
        result = CliRunner().invoke(main, [command, *rest], default_map=overwrite)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, f"{command} {rest}\n{result.output}"


def parse_shell(code: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Have click read every line, and call nothing; how many there were."""
    with monkeypatch.context() as patched:
        for command in main.commands.values():
            patched.setattr(command, "callback", lambda **given: None)
        patched.setattr("click.Path.convert", lambda self, value, param, context: Path(value))
        lines = commands(code)
        for _, *arguments in lines:
            main(arguments, standalone_mode=False)
    return len(lines)


def dotted(node: ast.expr) -> str:
    """``a.b.c`` of an attribute, or nothing."""
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return node.id if isinstance(node, ast.Name) else ""


def check_python(code: str) -> int:
    """Calls of ``udg.…`` must name what exists, with arguments it takes; how many there were."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    checked = 0
    for call in calls:
        name = dotted(call.func)
        if name.startswith("udg."):
            thing: Any = udg
            for part in name.split(".")[1:]:
                thing = getattr(thing, part)
            keywords = {word.arg: None for word in call.keywords if word.arg}
            inspect.signature(thing).bind(*call.args, **keywords)
            checked += 1
    return checked


# Code blocks


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_code_blocks(path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(path):
        assert block.language in ("python", "sh"), f"{path.name}: a block of {block.language!r}"
        if block.language == "sh":
            run_shell(block.code) if block.runs else parse_shell(block.code, monkeypatch)
        elif block.runs:
            exec(compile(block.first, path.name, "exec"), names)
            exec(compile(block.code, path.name, "exec"), names)
        else:
            check_python(block.code)


def test_what_is_not_run_says_why_and_is_the_exception() -> None:
    every = [block for path in PAGES for block in blocks(path)]
    left_out = [block for block in every if not block.runs]
    assert len(every) > 30
    assert len(left_out) < len(every) / 3
    rst = [*DOCS.glob("*.rst"), *(DOCS / "api").glob("*.rst")]
    hidden = [path.name for path in rst if re.search(r"code-block|::$", path.read_text("utf-8"))]
    assert not hidden, "code blocks belong to pages in Markdown, where they are run"


def test_the_tests_of_blocks_find_mistakes(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="No such option"):
        run_shell("udg derain rainy.png -o out.png --strenght 1\n")
    with pytest.raises(AssertionError, match="mark it as not run"):
        run_shell("pip install udg\n")
    with pytest.raises(click.NoSuchOption):
        parse_shell("udg train photos/ -o run/ --step 3\n", monkeypatch)
    with pytest.raises(TypeError, match="unexpected keyword"):
        check_python("udg.solve(image, strenght=1)")
    with pytest.raises(AttributeError):
        check_python("udg.sovle(image)")
    assert parse_shell("udg train photos/ -o run/\npip install udg\n", monkeypatch) == 1
    assert check_python("result = udg.net.train('photos/', 'run/', steps=20)") == 1


# Pages


def listed(page: str) -> set[str]:
    """What the tables of an API page list."""
    tables = re.findall(r"autosummary::\n((?:   .*\n|\n)+)", (DOCS / page).read_text("utf-8"))
    return set(re.findall(r"^   (\w+)$", "".join(tables), re.MULTILINE))


def test_every_public_name_is_in_the_api() -> None:
    from udg import errors

    pages = set(listed("api/index.rst"))
    assert pages == set(udg.__all__) - set(errors.__all__) - {"__version__"}
    for name in ("net", "plot"):
        assert listed(f"api/{name}.rst") == set(getattr(udg, name).__all__)


def test_every_term_of_the_energy_is_in_the_api() -> None:
    module = importlib.import_module("udg.model.energy")
    functions = {name for name in module.__all__ if inspect.isfunction(getattr(module, name))}
    page = (DOCS / "api" / "inner.rst").read_text("utf-8")
    assert set(re.findall(r"autofunction:: (\w+)", page)) == functions - {"objective"}


def test_inner_modules_are_in_the_api() -> None:
    page = (DOCS / "api" / "inner.rst").read_text("utf-8")
    shown = re.findall(r"^.. automodule:: (udg\.\w+\.\w+)$", page, re.MULTILINE)
    assert re.findall(r"^(udg\.\w+\.\w+)\n~+$", page, re.MULTILINE) == shown
    inner = [
        module.name
        for room in re.findall(r"^.. automodule:: (udg\.\w+)$", page, re.MULTILINE)
        for module in pkgutil.iter_modules(importlib.import_module(room).__path__, f"{room}.")
        if "._" not in module.name
    ]
    assert sorted(shown) == sorted(inner)


def test_commands_are_described_by_click() -> None:
    from click_commands import described

    text = "\n".join(described(main, "udg"))
    for name, command in main.commands.items():
        assert f"\nudg {name}\n----" in f"\n{text}"
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.opts[-1] in text
                assert option.help, f"udg {name} {option.opts[-1]} does not say what it is"


def test_examples_have_their_place_and_title() -> None:
    from examples import ORDER, teaching_order

    scripts = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))
    assert sorted(ORDER) == scripts
    assert sorted(scripts, key=lambda name: teaching_order(f"{name}.py")) == ORDER
    for name in scripts:
        text = ast.get_docstring(ast.parse((ROOT / "examples" / f"{name}.py").read_text("utf-8")))
        title, line = text.splitlines()[:2]
        assert line == "=" * len(title)


def test_pictures_of_the_examples_that_pages_show_exist() -> None:
    for path in DOCS.glob("*.md"):
        for name in re.findall(r"images/sphx_glr_(\w+)_\d{3}\.png", path.read_text("utf-8")):
            assert (ROOT / "examples" / f"{name}.py").exists(), f"{path.name}: {name}"


# What the pages are built with


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/a.js"></script>',
        "<script defer src=//cdn.example/a.js></script>",
        '<link rel="stylesheet" href="https://cdn.example/a.css">',
        '<link href="https://cdn.example/f.woff2" rel="preload">',
        '<img alt="" src="http://example.org/badge.svg"/>',
        "@font-face { src: url(https://fonts.example/f.woff2) }",
        '@import "https://fonts.example/css";',
    ],
)
def test_what_a_browser_would_fetch_is_found(text: str) -> None:
    from stands_alone import remote

    assert len(remote(text)) == 1


def test_what_a_browser_does_not_fetch_is_left_alone() -> None:
    from stands_alone import remote

    assert not remote('<a href="https://example.org">x</a> <img src="_images/a.png">')
    assert not remote('<link rel="canonical" href="https://example.org"> url(../f.woff2)')
    assert not remote('<svg xmlns="http://www.w3.org/2000/svg"> url(data:image/png;base64,AA)')


@pytest.mark.parametrize(
    ("link", "source", "expected"),
    [
        ("docs/demo.png", "README.md", "demo.png"),
        ("benchmarks/README.md#speed", "README.md", "benchmarks.md#speed"),
        ("../README.md#results", "benchmarks/README.md", "measuring.md#results"),
        ("../docs/gallery/README.md", "benchmarks/README.md", "gallery/README.md"),
        ("#choosing-weights", "README.md", "weights.md"),
        ("LICENSE", "README.md", "../LICENSE"),
        ("https://example.org/a", "README.md", "https://example.org/a"),
    ],
)
def test_links_of_included_texts_lead_to_pages(link: str, source: str, expected: str) -> None:
    from one_place import led_to_pages

    assert led_to_pages(f"see [it]({link}).", source, "page") == f"see [it]({expected})."


def test_sections_of_the_readme_that_pages_replace_exist() -> None:
    from one_place import PAGES as SHOWN
    from one_place import SECTIONS

    headings = re.findall(r"^#+ (.+)$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert set(SECTIONS) <= {heading.lower().replace(" ", "-") for heading in headings}
    for source, page in SHOWN.items():
        assert (ROOT / source).exists()
        assert (DOCS / page).exists()
    assert all((DOCS / page.partition("#")[0]).exists() for page in SECTIONS.values())


def test_ci_builds_what_the_readme_builds() -> None:
    commands = [block.code.strip() for block in blocks(ROOT / "README.md")]
    command = next(command for command in commands if "sphinx" in command)
    check = (ROOT / "scripts" / "check").read_text("utf-8").splitlines()
    assert f"step {command.replace('sphinx', 'sphinx -q')}" in check


def test_formulas_are_mathml() -> None:
    from mathml import mathml

    formula = mathml(r"\tau \|\nabla X\|_1", block=True)
    assert formula.startswith("<math")
    assert 'display="block"' in formula
    assert formula.count('<mo stretchy="false">‖</mo>') == 2
