"""Which layer to rotate back: the rain, which is then subtracted, or the background.

    python -m benchmarks.net.rotate_back DATA_DIR [--weights small] [--every 1] [--json OUT]

On the pairs of DATA_DIR/rain100l-dev, angles estimated. "rain": R of the rain stream is rotated
back and subtracted from the picture, as `udg.net.derain` does. "background": X = Y − R is rotated
back instead, so that nothing differs but what is resampled. "background stream": X of the other
stream is rotated back, if the network has one that was trained (--both). "picture": the rainy
picture itself, there and back. Everything on the darkest channel, whose clean version is that of
the clean picture, as networks of one channel see it. Mean PSNR in dB.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import udg
from benchmarks._shared import arguments
from benchmarks._shared.common import write_json
from udg.batch.evaluation import find_pairs
from udg.imaging.image import prepare
from udg.io.files import read
from udg.net import for_inference, from_pretrained, rotate, unrotate


def main() -> None:
    """Measure every pair, print the means."""
    parser = arguments.parser(__doc__, "data_dir every json")
    parser.add_argument("--weights", default="small", metavar="NAME|FILE")
    parser.add_argument("--both", action="store_true", help="the background stream was trained")
    parser.add_argument("--gauge", action="store_true", help="median of R to zero")
    options = parser.parse_args()
    torch.set_num_threads(1)
    net = for_inference(from_pretrained(options.weights))
    if net.config.channels != 1:
        raise SystemExit("this is for networks of one channel")

    rows = []
    for rainy, clean in find_pairs(options.data_dir / "rain100l-dev")[0][:: options.every]:
        light, truth = darkest(rainy), darkest(clean)
        angle = udg.estimate_angle(read(rainy).pixels).degrees
        shape = (light.shape[-2], light.shape[-1])
        with torch.inference_mode():
            Y = rotate(light, angle)
            R = net.rain(Y)
            if options.gauge:
                R = R - R.median()
            results = {
                "rainy": light,
                "rain": light - torch.minimum(unrotate(R, angle, shape).clamp(min=0), light),
                "background": unrotate(Y - R.clamp(min=0), angle, shape),
                "picture": unrotate(Y, angle, shape),
            }
            if options.both:
                results["background stream"] = unrotate(net.background(Y), angle, shape)
        row = {name: psnr(plane, truth) for name, plane in results.items()}
        rows.append({"name": rainy.name, "angle": angle} | row)
    means = {name: float(np.mean([row[name] for row in rows])) for name in results}
    won = sum(row["rain"] > row["background"] for row in rows)
    print(means, f"rain is better in {won} of {len(rows)}")
    write_json(options.json, {"mean": means, "pictures": rows}, weights=str(options.weights))


def darkest(path: Path) -> Tensor:
    """The plane that a network of one channel sees."""
    return torch.from_numpy(np.ascontiguousarray(prepare(read(path).pixels).darkest()))[None, None]


def psnr(plane: Tensor, truth: Tensor) -> float:
    """In dB, of values rounded to 8 bits."""
    rounded = (255 * plane.clamp(0, 1)).round() / 255
    return float(-10 * torch.log10(((rounded - truth) ** 2).mean()))


if __name__ == "__main__":
    main()
