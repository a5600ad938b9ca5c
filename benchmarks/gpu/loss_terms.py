"""Table 5 at the paper's size, in steps of at most ten minutes; call it until the status is 0.

    python benchmarks/gpu/loss_terms.py OUT --data DATA_DIR [--minutes 9] [options]

DATA_DIR as for benchmarks/loss_terms.py, whose options may be given in addition; the same in every
call. Streams of 32 blocks of width 32, batches of 8, full-size scenes, batch normalisation as in
the paper. OUT/case-N are the runs, OUT/loss_terms.json gets each case as soon as it is finished.
Ends with status 3 if the same command has more to do.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

SIZES = ["--width", "32", "--depth", "32", "--crop", "128", "--shrink", "1", "--norm", "batch"]
STEPS = ["--steps", "6000", "--batch", "8", "--lr", "1e-3", "--precision", "auto"]


def main() -> None:
    """Go on for so many minutes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder of results and runs")
    parser.add_argument("--data", type=Path, required=True, metavar="DATA_DIR")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--device", default="cuda")
    options, more = parser.parse_known_args()
    options.out.mkdir(parents=True, exist_ok=True)
    script = Path(__file__).resolve().parents[1] / "loss_terms.py"
    results = ["--json", str(options.out / "loss_terms.json"), "--weights", str(options.out)]
    limits = ["--minutes", str(options.minutes), "--device", options.device]
    command = [sys.executable, str(script), str(options.data), *SIZES, *STEPS, *results, *limits]
    raise SystemExit(subprocess.run([*command, *more], check=False).returncode)


if __name__ == "__main__":
    main()
