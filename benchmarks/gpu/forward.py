"""How long a forward pass takes: the rain stream alone, all that deraining needs, and both.

    python -m benchmarks.gpu.forward OUT [--device cuda|cpu] [--height 1024 --width 2048]

The paper's sizes, batch normalisation folded, channels last, bfloat16 on a GPU and float32 on a
CPU; eager and with torch.compile. Writes OUT/forward.json: median, least and most of the
repetitions in seconds, and peak memory in bytes (of the GPU; of the process on a CPU).
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from benchmarks._shared import arguments
from benchmarks._shared.common import write_json
from udg.net import Config, UDGNet, derain, for_inference


def main() -> None:
    """Read the arguments, time each part, report."""
    parser = arguments.parser(__doc__, "out", device={"default": "cuda"})
    parser.add_argument("--height", type=int, default=1024)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--channels", type=int, choices=[1, 3], default=3)
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--no-compile", action="store_true", help="eager only")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    cuda = options.device.startswith("cuda")
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    net = for_inference(UDGNet(Config(channels=options.channels)), options.device)
    shape = (1, options.channels, options.height, options.width)
    frame = torch.rand(shape, device=options.device).contiguous(memory_format=torch.channels_last)
    image = frame[0].permute(1, 2, 0).squeeze(-1).contiguous()
    made = {
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "shape": list(shape),
        "dtype": str(next(net.rain.parameters()).dtype),
    }
    streams: dict[str, Callable[[], Any]] = {
        "rain stream": lambda: net.rain(frame),
        "both streams": lambda: (net.background(frame), net.rain(frame)),
    }
    rows: list[dict[str, Any]] = []

    def measure(name: str, mode: str, work: Callable[[], Any]) -> None:
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        seconds = timed(work, options.repeat, cuda)
        peak = torch.cuda.max_memory_allocated() if cuda else _peak_of_process()
        row = {"part": name, "mode": mode, "median": median(seconds), "least": min(seconds)}
        rows.append(row | {"most": max(seconds), "peak bytes": peak})
        print(rows[-1], flush=True)
        # After every row: a time limit loses nothing that was measured.
        write_json(options.out / "forward.json", {"rows": rows}, **made)

    for name, work in streams.items():
        measure(name, "eager", work)
    # With rotation there and back, at an angle that needs it.
    measure("derain, angle given", "eager", lambda: derain(image, net, angle=12.0, tile=None))
    if not options.no_compile:
        net.rain.compile()
        net.background.compile()
        for name, work in streams.items():
            measure(name, "torch.compile", work)


def timed(work: Callable[[], Any], repeat: int, cuda: bool) -> list[float]:
    """Seconds of each repetition, after a warm-up."""
    seconds = []
    with torch.inference_mode():
        for number in range(3 + repeat):
            if cuda:
                torch.cuda.synchronize()
            began = time.perf_counter()
            work()
            if cuda:
                torch.cuda.synchronize()
            if number >= 3:
                seconds.append(time.perf_counter() - began)
    return seconds


def _peak_of_process() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
