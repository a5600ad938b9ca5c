"""Train a network that the paper compares with for some minutes, and evaluate it.

    python benchmarks/gpu/baselines.py OUT NAME DATA_DIR [--minutes 7] [--device cuda]

NAME is one of `benchmarks/baselines/networks`. DATA_DIR is as benchmarks/README.md says: pairs are
clean/bsds353 and rendered rain (made once, in OUT/pairs), real rain is realrain60, and the test
pictures are rain100l-dev. `--pairs`, `--real` and `--test` name other folders instead. Writes
OUT/NAME.safetensors and OUT/NAME.json (quality picture by picture); the same command starts anew.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from baselines.networks import NETWORKS

SCRIPTS = Path(__file__).resolve().parents[1] / "baselines"


def main() -> None:
    """Make pairs if there are none, train, evaluate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of weights and results")
    parser.add_argument("name", choices=tuple(NETWORKS), metavar="NAME", help=", ".join(NETWORKS))
    parser.add_argument("data", type=Path, metavar="DATA_DIR")
    parser.add_argument("--minutes", type=float, default=7.0, help="of training")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--pairs", type=Path, help="holds rainy/ and clean/, to train on")
    parser.add_argument("--real", type=Path, help="rainy pictures without clean versions")
    parser.add_argument("--test", type=Path, help="holds rainy/ and clean/, to evaluate")
    options, more = parser.parse_known_args()
    options.out.mkdir(parents=True, exist_ok=True)

    pairs = options.pairs
    if pairs is None:
        pairs = options.out / "pairs"
        call("networks/render.py", options.data / "clean" / "bsds353", pairs)
    real = options.real or options.data / "realrain60" / "rainy"
    weights, table = (options.out / f"{options.name}.{end}" for end in ("safetensors", "json"))
    device = ["--device", options.device]
    length = ["--minutes", options.minutes]
    call(
        "networks/train.py", options.name, pairs, "-o", weights, *length, *device,
        *(["--real", real] if options.name == "ssir" else []), *more,
    )  # fmt: skip
    table.unlink(missing_ok=True)  # of other weights
    test = options.test or options.data / "rain100l-dev"
    call("evaluate.py", options.name, test, "--weights", weights, "--json", table, *device)


def call(script: str, *arguments: object) -> None:
    """Run a script of the baselines; its failure is ours."""
    words = [sys.executable, str(SCRIPTS / script), *map(str, arguments)]
    made = subprocess.run(words, check=False)
    if made.returncode:
        raise SystemExit(made.returncode)


if __name__ == "__main__":
    main()
