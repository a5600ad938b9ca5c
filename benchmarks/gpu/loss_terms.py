"""Table 5 at the paper's size, in steps of at most ten minutes; call it until the status is 0.

    python -m benchmarks.gpu.loss_terms OUT --data DATA_DIR [--minutes 9] [options]

DATA_DIR as for `tables/loss_terms.py`, whose options may be given in addition; the same in every
call. Streams of 32 blocks of width 32, batches of 8, full-size scenes, batch normalisation as in
the paper. OUT/case-N are the runs, OUT/loss_terms.json gets each case as soon as it is finished.
Ends with status 3 if the same command has more to do.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks._shared import arguments

SIZES = ["--width", "32", "--depth", "32", "--crop", "128", "--shrink", "1", "--norm", "batch"]
STEPS = ["--steps", "6000", "--batch", "8", "--lr", "1e-3", "--precision", "auto"]


def main() -> None:
    """Go on for so many minutes."""
    parser = arguments.parser(__doc__, "out", device={"default": "cuda"}, minutes={"default": 9.0})
    parser.add_argument("--data", type=Path, required=True, metavar="DATA_DIR")
    options, more = parser.parse_known_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results = ["--json", str(options.out / "loss_terms.json"), "--weights", str(options.out)]
    limits = ["--minutes", str(options.minutes), "--device", options.device]
    command = [
        sys.executable,
        "-m",
        "benchmarks.tables.loss_terms",
        str(options.data),
        *SIZES,
        *STEPS,
        *results,
        *limits,
    ]
    raise SystemExit(subprocess.run([*command, *more], check=False).returncode)


if __name__ == "__main__":
    main()
