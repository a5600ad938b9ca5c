"""Print how many parameters the networks have, and how many they have in the literature.

python -m benchmarks.baselines.networks.sizes
"""

from __future__ import annotations

from benchmarks.baselines.networks import NETWORKS, TITLES
from benchmarks.baselines.networks.shared import megabytes, parameters

#: The UDGNet paper's Table 3, in MB.
TABLE_3 = {"ddn": 0.233, "jorder_e": 16.7, "rcdnet": 13.1, "cyclegan": 11.7}


def row(name: str) -> list[str]:
    """Title, parameters, published ones, difference, MB, and the paper's MB."""
    module = NETWORKS[name]
    net = module.build()
    ours = parameters(net)
    apart = round(100 * (ours / module.PUBLISHED - 1), 1)
    return [
        TITLES[name],
        f"{ours:,}",
        f"{module.PUBLISHED:,}",
        f"{apart:+} %".replace("-", "−") if apart else "0 %",
        f"{megabytes(net):.3g}",
        str(TABLE_3.get(name, "")),
    ]


def main() -> None:
    """Print a table in Markdown."""
    print("| network | parameters | published | difference | MB | Table 3, MB |")
    print("|---|---|---|---|---|---|")
    for name in NETWORKS:
        print(f"| {' | '.join(row(name))} |")


if __name__ == "__main__":
    main()
