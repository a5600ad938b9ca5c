import math

import numpy as np
import pytest
import torch

import udg.imaging.geometry
from udg.errors import InvalidInput
from udg.net import inside, rotate, unrotate

ANGLES = [-45.0, -30.0, -7.3, 0.0, 10.0, 45.0]
SHAPES = [(30, 41), (41, 30), (17, 17), (9, 12)]


def batch(planes: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(planes.copy())[None, None]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("angle", ANGLES)
def test_same_as_the_solvers_rotation(shape, angle, rng):
    picture = rng.random(shape)
    turned, expected = rotate(batch(picture), angle), udg.imaging.geometry.rotate(picture, angle)
    np.testing.assert_allclose(turned[0, 0], expected, atol=1e-9)
    back = unrotate(turned, angle, shape)
    np.testing.assert_allclose(
        back[0, 0], udg.imaging.geometry.unrotate(expected, angle, shape), atol=1e-9
    )


def test_single_precision_is_enough_for_large_pictures(rng):
    picture = rng.random((300, 1500))
    turned = rotate(batch(picture.astype(np.float32)), 12.0)
    assert turned.dtype == torch.float32
    np.testing.assert_allclose(turned[0, 0], udg.imaging.geometry.rotate(picture, 12.0), atol=2e-3)


def test_an_angle_for_each_image(rng):
    images, angles = torch.from_numpy(rng.random((3, 2, 20, 26))), torch.tensor([-20.0, 0.0, 33.0])
    together = rotate(images, angles, (31, 33))
    for image, angle, turned in zip(images, angles, together, strict=True):
        torch.testing.assert_close(turned, rotate(image[None], float(angle), (31, 33))[0])
    back = unrotate(together, angles, (20, 26))
    for layer, angle, turned in zip(together, angles, back, strict=True):
        torch.testing.assert_close(turned, unrotate(layer[None], float(angle), (20, 26))[0])


def test_default_frame_holds_every_image():
    frames = [udg.imaging.geometry.rotated_shape((20, 50), angle) for angle in (0.0, 30.0, -40.0)]
    turned = rotate(torch.rand(3, 1, 20, 50), torch.tensor([0.0, 30.0, -40.0]))
    assert tuple(turned.shape[-2:]) == tuple(np.max(frames, axis=0))


def test_a_given_frame_is_the_middle_of_the_whole(rng):
    picture = batch(rng.random((31, 37)))
    whole = rotate(picture, 20.0, (51, 61))
    torch.testing.assert_close(rotate(picture, 20.0, (21, 11)), whole[..., 15:36, 25:36])


def test_positive_is_clockwise_from_vertical():
    slash = batch(np.fliplr(np.eye(41)))
    right, wrong = (rotate(slash, angle, (21, 21)).sum(dim=-2).max() for angle in (45.0, -45.0))
    assert right > 6
    assert wrong < 2


def test_gradient_to_pixels_and_angle(rng):
    images = torch.from_numpy(rng.random((2, 1, 5, 6))).requires_grad_()
    angle = torch.tensor([11.3, -23.1], dtype=torch.float64, requires_grad=True)
    for function, shape in ((rotate, (6, 7)), (unrotate, (4, 5))):
        assert torch.autograd.gradcheck(
            lambda u, a, f=function, s=shape: f(u, a, s), (images, angle)
        )


def test_descent_on_the_angle_makes_streaks_vertical():
    row, column = np.mgrid[:48, :48]
    theta = math.radians(14)
    streaks = np.sin((row * math.sin(theta) + column * math.cos(theta)) / 2)
    angle, step = torch.tensor(9.0, dtype=torch.float64, requires_grad=True), 2.0
    for _ in range(12):
        loss = torch.diff(rotate(batch(streaks), angle, (32, 32)), dim=-2).pow(2).mean()
        slope = torch.autograd.grad(loss, angle)[0]
        with torch.no_grad():
            angle -= step * slope.sign()
        step *= 0.75
    assert angle.item() == pytest.approx(14, abs=0.5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 2), (5, 5)])
def test_the_spline_passes_through_the_pixels(shape, rng):
    picture = batch(rng.random(shape))  # SciPy's does so to 1e-4 only on pictures this small
    torch.testing.assert_close(rotate(picture, 0.0), picture, atol=1e-9, rtol=0)


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("shape", SHAPES[:3])
def test_inside_is_where_the_picture_is(shape, angle):
    frame = udg.imaging.geometry.rotated_shape(shape, angle)
    row, column = (
        index - (size - 1) / 2 for index, size in zip(np.indices(frame), frame, strict=True)
    )
    theta = math.radians(angle)
    # Back in the picture, measured from its centre.
    down = math.cos(theta) * row + math.sin(theta) * column
    right = math.cos(theta) * column - math.sin(theta) * row
    within = (abs(down) < shape[0] / 2) & (abs(right) < shape[1] / 2)
    edge = np.minimum(abs(abs(down) - shape[0] / 2), abs(abs(right) - shape[1] / 2)) < 2e-3
    found = inside(torch.zeros(1, 3, *shape), angle)
    assert found.shape == (1, 1, *frame)
    assert (found[0, 0].numpy() == within)[~edge].all()
    if angle == 0:
        assert found.all()


def test_a_large_image_fills_the_frame():
    angles = torch.tensor([-45.0, -20.0, 0.0, 45.0])
    images = torch.zeros(4, 1, 46, 46)  # 32·√2 = 45.3
    assert inside(images, angles, (32, 32)).all()
    assert not inside(images, angles, (40, 40)).all()


def test_pixels_outside_are_reflection(rng):
    # The picture's own pixels decide all: a constant stays constant, and so does its range.
    assert (rotate(torch.full((1, 1, 9, 14), 0.3), 25.0) - 0.3).abs().max() < 1e-6
    rain = torch.zeros(1, 1, 30, 40)
    rain[..., ::6] = 1
    assert rotate(rain, -17.0).min() >= 0
    assert rotate(rain, -17.0).max() <= 1


def test_half_precision_is_not_computed_in(rng):
    image = torch.from_numpy(rng.random((1, 1, 200, 200)).astype(np.float32)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        turned = rotate(image, 31.0)
    assert turned.dtype == torch.float32
    torch.testing.assert_close(turned, rotate(image.float(), 31.0))


@pytest.mark.parametrize(
    ("images", "angle"),
    [
        (torch.zeros(3, 4, 5), 1.0),
        (torch.zeros(1, 1, 4, 5, dtype=torch.uint8), 1.0),
        (torch.zeros(2, 1, 4, 5), torch.zeros(3)),
        (torch.zeros(2, 1, 4, 5), torch.zeros(2, 1)),
        (torch.zeros(2, 1, 4, 5), math.nan),
    ],
)
def test_unusable_arguments_are_refused(images, angle):
    with pytest.raises(InvalidInput, match="give"):
        rotate(images, angle)
