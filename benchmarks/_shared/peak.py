"""Print the peak memory of one call, as JSON; `solver/speed.py` runs it by itself (Linux).

    python -m benchmarks._shared.peak minimize|solve PICTURE.npy ANGLE

`minimize` takes the frame of a turned plane, `solve` an image. Bytes are counted above the
interpreter with udg imported: the picture, compiled kernels and the libraries they need included.
"""

from __future__ import annotations

import json
import re
import sys
import tracemalloc
from pathlib import Path

import numpy as np

import udg


def resident(kind: str) -> int:
    """Bytes of memory: "VmRSS" now, "VmHWM" at most."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"^{kind}:\s+(\d+) kB", status, flags=re.MULTILINE)
    assert found
    return 1024 * int(found[1])


def main() -> None:
    """Run the call between two looks at the memory."""
    call, path, angle = sys.argv[1], sys.argv[2], float(sys.argv[3])
    before = resident("VmRSS")
    tiny = np.full((64, 64), 0.5, np.float32)
    # What is loaded once a process, whatever the picture's size.
    if call == "minimize":
        udg.minimize(udg.Problem(tiny, udg.RAIN_WEIGHTS), udg.PrimalDual(), max_iter=2)
    else:
        udg.solve(tiny, angle=angle, max_iter=2)
    loaded = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    frame = run(call, path, angle)
    facts = {"peak": resident("VmHWM") - before, "libraries": loaded - before, "frame": frame}
    tracemalloc.start()  # once more: of all that, what arrays hold
    run(call, path, angle)
    print(json.dumps(facts | {"arrays": tracemalloc.get_traced_memory()[1]}))


def run(call: str, path: str, angle: float) -> int:
    """Make the call; return the bytes of a float32 frame."""
    picture = np.load(path)
    if call == "minimize":
        frame = udg.minimize(udg.Problem(picture, udg.RAIN_WEIGHTS), udg.PrimalDual()).estimate.R
    else:
        frame = udg.solve(picture, angle=angle).solved.Y
    return int(frame.size) * 4


if __name__ == "__main__":
    main()
