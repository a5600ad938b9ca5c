"""The paper's numbers, as printed, by the names that methods have here.

C. Yu, Y. Chang, Y. Li, X. Zhao, L. Yan: Unsupervised image deraining: optimization model driven
deep CNN. ACM Multimedia 2021.
"""

from __future__ import annotations

from typing import NamedTuple


class Quality(NamedTuple):
    """PSNR in dB and SSIM; the paper does not say of which channel."""

    psnr: float
    ssim: float


#: Table 1. Its "UDG" is the paper's model with the paper's weights.
TABLE_1 = {
    "Cityscape": {
        "rain": Quality(26.22, 0.7776),
        "dsc": Quality(28.18, 0.8104),
        "gmm": Quality(29.11, 0.8649),
        "udg-paper": Quality(26.95, 0.9434),
        "ddn": Quality(30.59, 0.9232),
        "jorder_e": Quality(24.76, 0.8559),
        "rcdnet": Quality(28.87, 0.8778),
        "ssir": Quality(25.15, 0.8165),
        "patchgan": Quality(30.09, 0.9325),
        "cyclegan": Quality(31.62, 0.9140),
        "udgnet": Quality(34.65, 0.9653),
    },
    "Rain1400": {
        "rain": Quality(23.68, 0.7542),
        "dsc": Quality(26.26, 0.7828),
        "gmm": Quality(25.72, 0.7797),
        "udg-paper": Quality(23.35, 0.8380),
        "ddn": Quality(28.07, 0.8633),
        "jorder_e": Quality(22.18, 0.7719),
        "rcdnet": Quality(24.69, 0.7840),
        "ssir": Quality(25.67, 0.8183),
        "patchgan": Quality(24.14, 0.7880),
        "cyclegan": Quality(28.32, 0.8685),
        "udgnet": Quality(29.16, 0.8910),
    },
}


class Real(NamedTuple):
    """NIQE (lower is better) and what people rated."""

    niqe: float
    study: float


#: Table 2, on 100 photos of the authors.
TABLE_2 = {
    "rain": Real(5.70, 1.00),
    "dsc": Real(5.55, 2.88),
    "gmm": Real(6.06, 3.64),
    "udg-paper": Real(5.12, 4.53),
    "jorder_e": Real(5.48, 4.03),
    "rcdnet": Real(5.62, 3.03),
    "cyclegan": Real(6.54, 1.14),
    "udgnet": Real(5.08, 5.69),
}

#: Table 4, of UDGNet on Cityscape: how far the angle is off, in degrees; None is the estimated one.
TABLE_4 = {
    None: Quality(34.65, 0.9663),
    0: Quality(34.71, 0.9665),
    5: Quality(34.56, 0.9639),
    10: Quality(34.26, 0.9602),
    20: Quality(33.03, 0.9389),
}
