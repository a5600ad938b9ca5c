"""Train a network that the paper compares with for some minutes, and evaluate it.

    python -m benchmarks.gpu.baselines OUT NAME DATA_DIR [--minutes 7] [--device cuda]

NAME is one of `benchmarks/baselines/networks`. DATA_DIR is as benchmarks/README.md says: pairs are
clean/bsds353 and rendered rain (made once, in OUT/pairs), real rain is realrain60, and the test
pictures are rain100l-dev. `--pairs`, `--real` and `--test` name other folders instead. Writes
OUT/NAME.safetensors and OUT/NAME.json (quality picture by picture); the same command starts anew.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks._shared import arguments
from benchmarks.baselines.networks import NETWORKS


def main() -> None:
    """Make pairs if there are none, train, evaluate."""
    parser = arguments.parser(
        __doc__,
        out={"help": "folder of weights and results"},
        device={"default": "cuda"},
        minutes={"default": 7.0, "help": "of training"},
    )
    parser.add_argument("name", choices=tuple(NETWORKS), metavar="NAME", help=", ".join(NETWORKS))
    arguments.add(parser, "data_dir")
    parser.add_argument("--pairs", type=Path, help="holds rainy/ and clean/, to train on")
    parser.add_argument("--real", type=Path, help="rainy pictures without clean versions")
    parser.add_argument("--test", type=Path, help="holds rainy/ and clean/, to evaluate")
    options, more = parser.parse_known_args()
    options.out.mkdir(parents=True, exist_ok=True)

    pairs = options.pairs
    if pairs is None:
        pairs = options.out / "pairs"
        call("networks.render", options.data_dir / "clean" / "bsds353", pairs)
    real = options.real or options.data_dir / "realrain60" / "rainy"
    weights, table = (options.out / f"{options.name}.{end}" for end in ("safetensors", "json"))
    device = ["--device", options.device]
    length = ["--minutes", options.minutes]
    call(
        "networks.train", options.name, pairs, "-o", weights, *length, *device,
        *(["--real", real] if options.name == "ssir" else []), *more,
    )  # fmt: skip
    table.unlink(missing_ok=True)  # of other weights
    test = options.test or options.data_dir / "rain100l-dev"
    call("evaluate", options.name, test, "--weights", weights, "--json", table, *device)


def call(script: str, *words: object) -> None:
    """Run a script of the baselines; its failure is ours."""
    words = (sys.executable, "-m", f"benchmarks.baselines.{script}", *map(str, words))
    made = subprocess.run(words, check=False)
    if made.returncode:
        raise SystemExit(made.returncode)


if __name__ == "__main__":
    main()
