"""The rooms of the house, from the ground up: imports go downwards only, lazy ones too."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import udg

PACKAGE = Path(udg.__file__).parent

# Each line may import what stands above it, and what stands on it.
FLOORS = [
    ("_version", "_compiling", "errors", "backend"),
    ("model",),
    ("optim",),
    ("admm", "primal_dual"),
    ("imaging",),
    ("detection",),
    ("io",),
    ("viz",),
    ("pipeline",),
    ("quality",),
    ("net",),
    ("batch",),
    ("napari", "app", "cli", "__main__"),
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# Within a floor, those that know another one.
BESIDE = {("backend", "errors"), ("cli", "app"), ("__main__", "cli")}
OUTSIDE = {"torch": "net", "gradio": "app", "napari": "napari", "click": "cli", "matplotlib": "viz"}


def files() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Full names of all modules that a file imports, wherever in it, but for its annotations."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    only_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for part in node.body
        for inner in ast.walk(part)
    }
    for node in ast.walk(tree):
        if id(node) in only_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(name: str) -> str | None:
    """The module of this package that an import needs, as a path with dots below `udg`."""
    parts = name.split(".")
    if parts[0] != "udg":
        return None
    for stop in range(len(parts), 1, -1):
        place = PACKAGE.joinpath(*parts[1:stop])
        if place.with_suffix(".py").exists() or (place / "__init__.py").exists():
            return ".".join(parts[1:stop])
    return ""  # the package's face


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_room_has_a_floor() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in files()}
    assert rooms - {"__init__"} == set(FLOOR)


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_imports_go_downwards(path: Path) -> None:
    """What several rooms need is below all of them; the package's face is for who stands above."""
    here = name_of(path).split(".")[0]
    if not here:
        return  # the face hands on what is in every room
    for name in imports(path):
        there = module_of(name)
        if there is None:
            continue
        room = there.split(".")[0]
        if not room:
            assert FLOOR[here] >= FLOOR["pipeline"] + 1, f"{name_of(path)} imports the package"
        elif room != here:
            below = FLOOR[room] < FLOOR[here] or (here, room) in BESIDE
            assert below, f"{name_of(path)} imports {there}, which is not below it"


def test_no_circle_within_a_room() -> None:
    known = {name_of(path): path for path in files()}
    needs = {
        name: {there for one in imports(path) if (there := module_of(one)) in known} - {name, ""}
        for name, path in known.items()
        if name
    }
    left = {name: set(those) for name, those in needs.items()}
    while left:
        free = [name for name, those in left.items() if not those & set(left)]
        assert free, f"these import each other: {sorted(left)}"
        for name in free:
            del left[name]


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_large_libraries_have_one_room_each(path: Path) -> None:
    here = name_of(path).split(".")[0]
    for name in imports(path):
        outside = name.split(".")[0]
        if outside in OUTSIDE:
            allowed = {OUTSIDE[outside]} | ({"net"} if outside == "matplotlib" else set())
            assert here in allowed, f"{name_of(path)} imports {outside}"


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*/__init__.py")), ids=name_of)
def test_every_room_says_what_lives_there_and_what_may_not(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text, path
    first, _, rest = text.partition("\n\n")
    assert first.endswith((".", "!"))
    assert rest, "say what may not live there"


def test_import_is_quick() -> None:
    """No library but NumPy and what array-api-compat needs, so that it stays below 0.3 s."""
    program = "import sys; before = set(sys.modules); import udg; print(*set(sys.modules) - before)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"scipy.optimize", "scipy.ndimage", "skimage", "numba", "torch", "dask", "PIL.Image"}
    assert "udg.pipeline.stages" in loaded
    assert not heavy & set(loaded)
