"""Results are those that were kept before the package was divided into rooms."""

import golden
import numpy as np
import pytest


@pytest.fixture(scope="module")
def kept():
    with np.load(golden.RESULTS) as results:
        return dict(results)


@pytest.mark.parametrize("case", list(golden.cases()), ids=lambda case: case.name)
def test_results_are_as_they_were(case, kept):
    found = golden.solved(case)
    decided = kept[f"{case.name}/decided"]
    assert found["decided"].shape == decided.shape
    np.testing.assert_allclose(found["decided"], decided, atol=1e-3)
    np.testing.assert_allclose(found["weights"], kept[f"{case.name}/weights"], rtol=1e-6)
    difference = found["rain"].astype(int) - kept[f"{case.name}/rain"]
    assert np.abs(difference).max() <= 1e-3 * golden.STEP
