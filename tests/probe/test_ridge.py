from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, RidgeCV

from oac.probe.ridge import PENALTIES, ridge_path


def problem(images=60, width=8, classes=3):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(images, width, generator=generator) * torch.logspace(-1, 1, width) + 3.0
    targets = features[:, :classes] / torch.logspace(-1, 1, width)[:classes] > 30.0 / torch.logspace(0, 2, classes)
    flipped = torch.rand(images, classes, generator=generator) < 0.2
    return features, (targets ^ flipped).float()


def standardised(features):
    values = features.double().numpy()
    return (values - values.mean(0)) / values.std(0)


def test_leave_one_out_errors_are_those_of_leaving_one_out():
    features, targets = problem(images=20)
    inputs, expected = standardised(features), targets.double().numpy()
    penalties = (1e-2, 1.0)
    path = ridge_path(features, targets, penalties)
    for penalty in penalties:
        errors = []
        for left in range(20):
            rest = np.arange(20) != left
            # The penalty is a share of a mean over images, scikit-learn's of their sum: both over all 20.
            model = Ridge(alpha=penalty * 20).fit(inputs[rest], expected[rest])
            errors.append((model.predict(inputs[left : left + 1]) - expected[left]) ** 2)
        assert path.errors[penalty] == pytest.approx(np.mean(errors), rel=1e-6)


def test_the_path_takes_the_penalty_and_weights_of_scikit_learn():
    features, targets = problem()
    inputs, expected = standardised(features), targets.double().numpy()
    oracle = RidgeCV(alphas=[penalty * len(inputs) for penalty in PENALTIES]).fit(inputs, expected)
    path = ridge_path(features, targets)
    assert path.penalty * len(inputs) == pytest.approx(oracle.alpha_)
    assert PENALTIES[0] < path.penalty < PENALTIES[-1]
    np.testing.assert_allclose(path.probe.scores(features), oracle.predict(inputs), rtol=1e-3, atol=1e-4)


def test_more_features_than_images_and_constant_ones_are_harmless():
    features, targets = problem(images=10, width=30)
    features[:, 3] = 7.0
    path = ridge_path(features, targets)
    assert path.probe.scores(features).isfinite().all()


@pytest.mark.parametrize(("images", "penalties"), [(1, (1.0,)), (5, ()), (5, (1.0, 0.0))])
def test_wrong_input_is_refused(images, penalties):
    with pytest.raises(ValueError, match="two images and positive penalties"):
        ridge_path(torch.randn(images, 2), torch.ones(images, 1), penalties)
