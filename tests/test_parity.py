"""Features and distances on the real weights, against what the reference implementations gave (`make test-parity`)."""

from pathlib import Path

import keras
import numpy as np
import pytest
from parity.pictures import RESIZE_OF, SIDES, from_torch, noise, two_sets

from gan_helpers import metrics
from gan_helpers.metrics.inception import inception_network
from gan_helpers.metrics.resize import resized

REFERENCES = ("pytorch-fid", "torch-fidelity", "clean-fid")


@pytest.fixture(scope="module")
def given():
    with np.load(Path(__file__).parent / "data" / "parity.npz") as stored:
        return {key: stored[key] for key in stored.files}


@pytest.fixture(scope="module")
def network(inception):
    return inception_network(inception)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("reference", REFERENCES)
def test_features_of_a_face_and_of_noise(given, network, reference, side):
    images = np.concatenate([given[f"face/{side}"], noise(side)])
    seen = network(resized(images, RESIZE_OF[reference]), training=False)
    for layer, features in seen.items():
        expected = [given.get(f"{kind}/{side}/{reference}/{layer}") for kind in ("face", "noise")]
        if layer == 2048 or expected[0] is not None:  # clean-fid has the last layer only
            np.testing.assert_allclose(features, np.concatenate(expected), rtol=0, atol=1e-4)


def test_distances_of_two_sets_of_faces(given, inception):
    real, fake = (metrics.features(images, resize="clean", layer=2048) for images in two_sets())
    shares = metrics.precision_recall(real, fake, neighbours=3)
    found = {
        "fid": metrics.fid(real, fake, groups=0).value,
        "kid": metrics.kid(real, fake, subsets=1, subset_size=len(real)).value,
        "precision": shares.precision.value,
        "recall": shares.recall.value,
    }
    expected = {key: value for key, value in given.items() if key.startswith("drawn/clean-fid/")}
    assert len(expected) == 9
    for key, value in expected.items():
        assert found[key.split("/")[2]] == pytest.approx(float(value), rel=1e-3), key


def test_the_documented_example_of_torchmetrics(given, network):
    """FID with 64 features is 12.6388 there; only the network's beginning is needed for it."""
    beginning = keras.Model(network.input, network.output[64])
    sets = from_torch(*(given[f"torchmetrics/{name}"] for name in ("state", "pictures/real", "pictures/fake")))
    features = [
        np.concatenate([beginning(resized(images[start : start + 20], "tf1")) for start in range(0, 100, 20)])
        for images in sets
    ]
    assert metrics.fid(*features, groups=0).value == pytest.approx(12.6388, abs=1e-3)


@pytest.mark.parametrize("reference", REFERENCES)
def test_the_resizes_are_told_apart(given, network, reference):
    """Another resize than the reference's own is far from its features: the tests above would notice."""
    other = "tf1" if reference == "clean-fid" else "clean"
    seen = np.asarray(network(resized(given["face/64"], other), training=False)[2048])
    assert np.abs(seen - given[f"face/64/{reference}/2048"]).max() > 0.05
