"""Train on a GPU, in steps of at most ten minutes: each call goes on where the last one stopped.

    python -m benchmarks.gpu.train OUT --data DATA_DIR [--minutes 9] [options]

DATA_DIR holds rainy pictures, also in folders of folders. OUT/run is the run (`udg.net.train`), and
OUT/train.json says how far it is and how quick. Other options go to ``udg train``; give the same in
every call. Ends with status 0 when the run is finished, 3 if the same command has more to do. To
try it without a GPU: ``--device cpu --width 4 --depth 1``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks._shared import arguments
from benchmarks._shared.common import write_json

#: Beside the paper's schedule: the solver's energy, which is better than the paper's weights.
RECIPE = ["--config", "paper", "--loss", "energy", "--channels", "1"]
RECIPE += ["--angle-steps", "20000", "--angle-turn", "20"]
MORE = 3


def main() -> None:
    """Start or resume, for so many minutes, and report."""
    parser = arguments.parser(__doc__, "out", minutes={"default": 9.0})
    parser.add_argument("--data", type=Path, required=True, help="folder of rainy pictures")
    options, more = parser.parse_known_args()
    options.out.mkdir(parents=True, exist_ok=True)
    run = options.out / "run"
    before = progress(run)

    began = time.perf_counter()
    train = [sys.executable, "-m", "udg", "train", "--resume", "--recursive", str(options.data)]
    limits = ["--max-minutes", str(options.minutes), "--checkpoint-minutes", "3"]
    made = subprocess.run([*train, "-o", str(run), *limits, *RECIPE, *more], check=False)
    if made.returncode:
        raise SystemExit(made.returncode)
    wall = time.perf_counter() - began

    import torch

    now, steps = progress(run), json.loads((run / "config.json").read_text())["steps"]
    done = now["step"] - before["step"]
    row = {
        "step": now["step"],
        "steps": steps,
        "steps in this call": done,
        "wall seconds of this call": round(wall, 1),
        "training seconds a step": (now["seconds"] - before["seconds"]) / max(1, done),
        "loss": now.get("loss"),
    }
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    write_json(options.out / "train.json", row, device=device, torch=torch.__version__)
    print(row)
    if now["step"] < steps:
        print("not finished: run the same command again")
        raise SystemExit(MORE)


def progress(run: Path) -> dict[str, float]:
    """Where a run's checkpoint stands."""
    import torch

    path = run / "checkpoint.pt"
    if not path.exists():
        return {"step": 0, "seconds": 0.0}
    content = torch.load(path, map_location="cpu", weights_only=True)
    latest = content["history"][-1] if content["history"] else {}
    return {**latest, "step": content["step"], "seconds": content["seconds"]}


if __name__ == "__main__":
    main()
