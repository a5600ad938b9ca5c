from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.signal import oaconvolve
from skimage import data
from skimage.transform import rotate as skimage_rotate

import udg
from udg.detection.angle import (
    Angle,
    bright_details,
    direction_scores,
    estimate_angle,
    signed_details,
)
from udg.errors import InvalidImage, InvalidInput

PHOTOS = ["astronaut", "camera", "chelsea", "coffee", "rocket"]


def streaks(
    shape: tuple[int, int], angle: float, *, length: float = 25, density: float = 0.002
) -> np.ndarray:
    """Streaks like ``/`` for positive angles, at random places and of random strength."""
    half = int(length) // 2 + 4
    row, column = np.mgrid[-half : half + 1, -half : half + 1]
    theta = math.radians(angle)
    along = row * math.cos(theta) - column * math.sin(theta)
    across = row * math.sin(theta) + column * math.cos(theta)
    streak = np.exp(-0.8 * across**2) / (1 + np.exp(2 * (np.abs(along) - length / 2)))
    rng = np.random.default_rng(0)
    seeds = (rng.random(shape) < density) * rng.uniform(0.3, 1, shape)
    return np.clip(0.3 * oaconvolve(seeds, streak, mode="same"), 0, 1)


def rainy(name: str, angle: float) -> np.ndarray:
    photo = getattr(data, name)() / 255
    photo = photo if photo.ndim == 3 else photo[:, :, None]
    rain = streaks(photo.shape[:2], angle)[:, :, None]
    return photo + rain - photo * rain


def striped(name: str, angle: float, kind: str, amplitude: float = 0.02) -> np.ndarray:
    """A photo with an offset on each line of a direction, of deviation `amplitude`."""
    photo = getattr(data, name)() / 255
    photo = (photo if photo.ndim == 2 else photo.mean(axis=2))[:300, :360]
    row, column = (np.arange(n) - (n - 1) / 2 for n in photo.shape)
    theta = math.radians(angle)
    across = row[:, None] * math.sin(theta) + column * math.cos(theta)
    along = row[:, None] * math.cos(theta) - column * math.sin(theta)
    rng = np.random.default_rng(5)
    offsets = rng.normal(size=1000)
    if kind in ("sparse", "dark"):
        present = rng.random(1000) < 0.2
        offsets = present * (-1.0 if kind == "dark" else np.sign(offsets))
    if kind == "periodic":
        offsets = np.tile(offsets[:10], 100)
    stripes = np.interp(across + 500, np.arange(1000), amplitude * offsets / offsets.std())
    if kind == "slow":
        stripes *= 1 + 0.5 * np.sin(along / 60)
    if kind == "broken":
        stripes *= (along + 37 * np.round(across)) % 200 < 120
    return np.clip(photo + stripes, 0, 1)


@pytest.mark.parametrize("name", PHOTOS)
def test_finds_rendered_rain(name: str) -> None:
    errors = [
        abs(estimate_angle(rainy(name, angle)).degrees - angle) for angle in (-40, -17, 0, 8, 33)
    ]
    assert np.mean(errors) <= 0.3
    assert max(errors) <= 1.0


@pytest.mark.parametrize("kind", ["gaussian", "sparse", "dark", "periodic", "slow", "broken"])
@pytest.mark.parametrize("angle", [-60.3, -25.0, 0.3, 12.7, 33.0])
def test_finds_stripes_exactly(angle: float, kind: str) -> None:
    for name in ("camera", "coffee"):
        found = estimate_angle(striped(name, angle, kind), sign="both", limit=90.0)
        assert found.degrees == pytest.approx(angle, abs=0.1)
        assert found.confidence > 0.3


@pytest.mark.parametrize("kind", ["gaussian", "dark", "slow"])
def test_stripes_on_the_grid_need_no_interpolation(kind: str) -> None:
    for name in PHOTOS:
        assert estimate_angle(striped(name, 0.0, kind), sign="both").degrees == 0.0
        turned = np.rot90(striped(name, 0.0, kind))
        assert abs(estimate_angle(turned, sign="both", limit=90.0).degrees) == 90.0


def test_dark_stripes_need_both_signs() -> None:
    image = striped("astronaut", -21.0, "dark", amplitude=0.008)
    negative = 1 - image
    both = [estimate_angle(i, sign="both", limit=90.0).degrees for i in (image, negative)]
    assert both[0] == pytest.approx(-21.0, abs=0.1)
    assert both[1] == pytest.approx(both[0], abs=1e-3)


def test_signed_details_are_bright_ones_and_dark_ones() -> None:
    image = striped("chelsea", 20.0, "gaussian").astype(np.float32)
    details = signed_details(image)
    assert details.dtype == np.float32
    assert details.min() == -details.max()
    np.testing.assert_allclose(signed_details(1 - image), -details, atol=1e-6)
    np.testing.assert_array_equal(details > 0, bright_details(image) > 0)


def test_slash_is_positive() -> None:
    slash = np.fliplr(np.eye(90))
    assert estimate_angle(slash).degrees == pytest.approx(45.0, abs=0.5)
    assert estimate_angle(slash[:, ::-1]).degrees == pytest.approx(-45.0, abs=0.5)


@pytest.mark.parametrize("turn", [-15.0, 15.0])
@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_turning_the_image_moves_the_answer(name: str, turn: float) -> None:
    image = rainy(name, 5.0)
    turned = np.clip(skimage_rotate(image, turn, order=3), 0, 1)
    margin = [n // 5 for n in image.shape[:2]]
    window = tuple(slice(m, -m) for m in margin)
    moved = estimate_angle(turned[window]).degrees - estimate_angle(image[window]).degrees
    assert moved == pytest.approx(-turn, abs=0.8)


def test_mirror_changes_the_sign() -> None:
    image = rainy("coffee", 20.0)
    mirrored = estimate_angle(np.ascontiguousarray(image[:, ::-1])).degrees
    assert mirrored == pytest.approx(-estimate_angle(image).degrees, abs=0.3)


@pytest.mark.parametrize("sign", ["bright", "both"])
@pytest.mark.parametrize("method", ["spectrum", "tilt"])
@pytest.mark.parametrize("shape", [(64, 64), (300, 400, 3), (2, 2), (5, 700)])
def test_constant_image_has_no_direction(shape: tuple[int, ...], method: str, sign: str) -> None:
    for value in (0.0, 0.3, 1.0):
        assert estimate_angle(np.full(shape, value), method=method, sign=sign) == Angle(0.0, 0.0)


@pytest.mark.parametrize("shape", [(20, 24), (24, 20), (40, 40), (33, 150), (100, 130)])
@pytest.mark.parametrize("angle", [-30.0, 0.0, 20.0])
def test_small_images(shape: tuple[int, int], angle: float) -> None:
    image = 0.2 + 0.5 * streaks(shape, angle, length=12, density=0.01)
    assert estimate_angle(image).degrees == pytest.approx(angle, abs=4.0)


@pytest.mark.parametrize("sign", ["bright", "both"])
@pytest.mark.parametrize("method", ["spectrum", "tilt"])
@pytest.mark.parametrize("shape", [(2, 3), (11, 200), (12, 12), (13, 17), (12, 300)])
def test_any_small_shape_gets_an_answer(shape: tuple[int, int], method: str, sign: str) -> None:
    noise = np.random.default_rng(3).random(shape)
    degrees, confidence = estimate_angle(noise, method=method, sign=sign)
    assert abs(degrees) <= 45
    assert 0 <= confidence <= 1


def test_large_image_is_shrunk_first() -> None:
    large = np.kron(rainy("coffee", 12.0)[:, :, 0], np.ones((4, 5)))
    # 5 : 4 stretches the tangent.
    expected = math.degrees(math.atan(math.tan(math.radians(12.0)) * 5 / 4))
    assert estimate_angle(large).degrees == pytest.approx(expected, abs=1.0)
    assert bright_details(large.astype(np.float32)).size <= 1.01 * 480**2


def test_every_direction_with_limit_90() -> None:
    for angle in (-85.0, -60.0, 50.0, 75.0, 89.0):
        image = 0.2 + 0.5 * streaks((200, 260), angle)
        found = estimate_angle(image, limit=90.0).degrees
        assert abs((found - angle + 90) % 180 - 90) < 1.0


@pytest.mark.parametrize("sign", ["bright", "both"])
@pytest.mark.parametrize("method", ["spectrum", "tilt"])
def test_answer_stays_within_limit(method: str, sign: str) -> None:
    image = 0.2 + 0.5 * streaks((60, 70), 40.0)
    for limit in (0.1, 10.0, 35.0):
        assert abs(estimate_angle(image, limit=limit, method=method, sign=sign).degrees) <= limit
    # The better direction outside is known, and the answer not trusted.
    assert estimate_angle(image, limit=10.0).confidence == 0.0


def test_confidence_tells_rain_from_noise() -> None:
    noise = np.random.default_rng(0).random((300, 400))
    sure = [estimate_angle(rainy(name, 10.0)).confidence for name in PHOTOS]
    assert estimate_angle(noise).confidence < 0.3
    assert 0.5 < min(sure) <= max(sure) <= 1


def test_two_directions_lower_the_confidence() -> None:
    one = streaks((300, 300), -20.0)
    two = np.clip(one + streaks((300, 300), 20.0), 0, 1)
    assert estimate_angle(two).confidence < 0.5 * estimate_angle(one).confidence


def test_scores_peak_at_the_answer() -> None:
    image = rainy("camera", -25.0)
    details = bright_details(image[:, :, 0].astype(np.float32))
    angles, scores = direction_scores(details)
    assert angles.shape == scores.shape == (360,)
    assert scores.mean() == pytest.approx(0, abs=1e-5)
    assert angles[scores.argmax()] == pytest.approx(-25.0, abs=1.0)


def test_same_image_in_other_types() -> None:
    image = (255 * rainy("chelsea", 15.0)).astype(np.uint8)
    answer = estimate_angle(image)
    assert estimate_angle(image) == answer
    assert estimate_angle(image.astype(np.uint16) * 257) == pytest.approx(answer, abs=1e-3)
    assert estimate_angle(image / 255) == pytest.approx(answer, abs=1e-3)
    assert estimate_angle(image * 1.0, data_range=255) == pytest.approx(answer, abs=1e-3)


def test_read_only_input_is_unharmed() -> None:
    image = rainy("coffee", 3.0)[:70, :80]
    before = image.copy()
    image.flags.writeable = False
    for method in ("spectrum", "tilt"):
        estimate_angle(image, method=method)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("limit", [0.0, -5.0, 90.1, math.nan, math.inf])
def test_limit_out_of_range_is_refused(limit: float) -> None:
    with pytest.raises(InvalidInput, match="limit"):
        estimate_angle(np.zeros((20, 20)), limit=limit)


def test_unusable_arguments_are_refused() -> None:
    with pytest.raises(InvalidInput, match="spectrum"):
        estimate_angle(np.zeros((20, 20)), method="fourier")
    with pytest.raises(InvalidInput, match="both"):
        estimate_angle(np.zeros((20, 20)), sign="dark")
    with pytest.raises(InvalidImage, match="data_range"):
        estimate_angle(np.full((20, 20), 200.0))


def test_import_is_light() -> None:
    heavy = "{'scipy', 'skimage', 'numba', 'torch', 'cupy'}"
    modules = "udg.detection.angle, udg.imaging.geometry, udg.detection.tilt"
    code = f"import sys, {modules}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# The curve


@pytest.mark.parametrize("sign", ["bright", "both"])
def test_curve_is_highest_at_the_estimate(sign):
    rainy = udg.synthesize(np.full((150, 170), 0.3, np.float32), angle=-17, seed=3).rainy
    curve = udg.detection.angle.angle_curve(rainy, sign=sign)
    assert curve.angle == udg.estimate_angle(rainy, sign=sign)
    best = curve.degrees[curve.judged][curve.scores[curve.judged].argmax()]
    assert abs(best - curve.angle.degrees) <= (0.25 if sign == "bright" else 1.3)
    np.testing.assert_array_equal(curve.degrees[curve.judged], np.arange(-45, 45.5, 0.5))


def test_confidence_is_the_lead_over_the_rival():
    rainy = udg.synthesize(np.full((150, 170), 0.3, np.float32), angle=5, seed=3).rainy
    curve = udg.detection.angle.angle_curve(rainy)
    counted = curve.scores[curve.judged]
    rival = curve.scores[curve.degrees == curve.rival][0]
    assert abs(curve.rival - curve.angle.degrees) > 12
    lead = (counted.max() - rival) / np.ptp(counted)
    assert curve.angle.confidence == pytest.approx(lead)


@pytest.mark.parametrize("shape", [(40, 40), (8, 60)])
def test_curve_without_features_is_flat(shape):
    curve = udg.detection.angle.angle_curve(np.full(shape, 0.5))
    assert curve.angle == (0, 0)
    assert curve.rival is None
    assert curve.scores.shape == curve.degrees.shape == (360,)
    assert not curve.scores.any()


def test_curve_refuses_what_the_estimate_refuses():
    for options, message in (({"sign": "dark"}, "sign is 'dark'"), ({"limit": 0}, "limit is 0")):
        with pytest.raises(InvalidInput, match=message):
            udg.detection.angle.angle_curve(np.zeros((20, 20)), **options)
