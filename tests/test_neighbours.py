import numpy as np
import pytest

from gan_helpers import draw_faces, metrics
from gan_helpers.metrics.neighbours import BLOCK, distance_blocks, nearest_among, nearest_within
from gan_helpers.metrics.results import share

RANDOM = np.random.default_rng(0)


def _normal(count, width=4, seed=0, mean=0.0, scale=1.0):
    return (mean + scale * np.random.default_rng(seed).standard_normal((count, width))).astype(np.float32)


def test_distances_in_blocks_are_those_of_the_definition():
    first, second = _normal(BLOCK + 10, mean=50), _normal(30, seed=1, mean=50)
    expected = np.linalg.norm(first[:, None].astype(np.float64) - second[None], axis=2)
    found = np.concatenate([block for _, block in distance_blocks(first, second)])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    distances, numbers = nearest_among(first, second)
    np.testing.assert_array_equal(numbers, expected.argmin(1))
    np.testing.assert_allclose(distances, expected.min(1), rtol=1e-6)


def test_nearest_within_leaves_the_vector_itself_out():
    vectors = np.array([[0.0], [1.0], [3.0], [3.0]], np.float32)
    distances, numbers = nearest_within(vectors, 2)
    np.testing.assert_allclose(distances, [[1, 3], [1, 2], [0, 2], [0, 2]], atol=1e-9)
    assert numbers[:, 0].tolist() == [1, 0, 3, 2]


def test_precision_recall_by_hand():
    """On a line with k=1: real neighbourhoods reach 1 around 0 and 1; fake ones 5 around 1.5 and 6.5."""
    real, fake = np.array([[0.0], [1.0]], np.float32), np.array([[1.5], [6.5]], np.float32)
    result = metrics.precision_recall(real, fake, neighbours=1, density_neighbours=1)
    assert result.precision.value == 0.5  # 1.5 is within 1 of 1; 6.5 is not
    assert result.recall.value == 1.0  # both real ones are within 5 of 1.5
    assert result.density.value == 0.5 and result.coverage.value == 0.5


def test_precision_and_recall_tell_the_two_failures_apart():
    real = _normal(400)
    same = metrics.precision_recall(real, _normal(400, seed=1))
    assert min(same.precision.value, same.recall.value, same.coverage.value) > 0.8
    assert same.density.value == pytest.approx(1, abs=0.15)
    off = metrics.precision_recall(real, _normal(400, seed=1, scale=4))  # unreal ones among them
    few = metrics.precision_recall(real, _normal(400, seed=1, scale=0.2))  # all of one kind
    assert off.precision.value < 0.5 and off.recall.value > 0.8
    assert few.precision.value > 0.9 and few.recall.value < 0.3 and few.coverage.value < 0.5
    low, high = off.precision.interval
    assert 0 <= low < off.precision.value < high <= 1
    assert same.precision.conditions["real_count"] == 400


def test_realism():
    real = _normal(300)
    scores = metrics.realism(real, np.stack([real[0], np.full(4, 20, np.float32), np.zeros(4, np.float32)]))
    assert scores[0] > 1 and scores[1] < 0.2 < scores[2]
    usual = metrics.realism(real, real[np.argsort(np.linalg.norm(real, axis=1))[:1]])
    assert np.isinf(usual).all()  # a real picture itself, with no distance to it


def test_memorisation_gives_copied_a_number():
    training, unseen, honest = (_normal(500, 6, seed=n) for n in range(3))
    copies = training[:200] + _normal(200, 6, seed=9, scale=0.01)
    free, copied = (metrics.memorisation(fake, training, unseen) for fake in (honest, copies))
    assert free.copied.interval[0] < 0.05 < free.copied.interval[1]
    assert free.nearer.value == pytest.approx(1, abs=0.15) and free.nearer.interval[0] < 1 < free.nearer.interval[1]
    assert copied.copied.value > 0.95 and copied.nearer.value < 0.2
    np.testing.assert_array_equal(copied.nearest, np.arange(200))
    half = metrics.memorisation(np.concatenate([copies[:100], honest[:100]]), training, unseen)
    assert half.copied.value == pytest.approx(0.52, abs=0.06)


def test_memorisation_in_pixels():
    images = draw_faces(130, 32, seed=3)[0]
    training, unseen = images[:60], images[60:100]
    result = metrics.memorisation(np.concatenate([training[:5], images[100:]]), training, unseen, by="pixels")
    assert result.nearest[:5].tolist() == list(range(5))
    np.testing.assert_allclose(result.distances[:5], 0, atol=1e-3)
    expected = np.sqrt(((images[100].astype(float) - training.astype(float)) ** 2).mean((1, 2, 3)).min())
    assert result.distances[5] == pytest.approx(expected, rel=1e-5)


def test_duplicates():
    real = _normal(400, 6)
    assert metrics.duplicates(_normal(400, 6, seed=1), real).value < 0.05
    collapsed = _normal(20, 6, seed=1).repeat(20, axis=0) + _normal(400, 6, seed=2, scale=1e-3)
    assert metrics.duplicates(collapsed, real).value == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: metrics.precision_recall(_normal(5), _normal(9)),
            "expected more than 5 pictures on each side; received 5",
        ),
        (lambda: metrics.precision_recall(_normal(9), _normal(9, 5)), "received 4 and 5"),
        (lambda: metrics.memorisation(_normal(9), _normal(9), _normal(9)), "expected at least 20 unseen pictures"),
        (lambda: metrics.memorisation(_normal(9), _normal(9), _normal(9), by="eye"), "expected by 'features' or"),
        (lambda: metrics.memorisation(_normal(9), _normal(9), _normal(9), by="pixels"), "to compare pixels; received"),
        (lambda: metrics.duplicates(_normal(9), _normal(90)), "expected more than 19 pictures"),
        (lambda: metrics.realism(_normal(3), _normal(9)), "expected more than 3 pictures"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"), [(0, 10, 0, 0.278), (5, 10, 0.237, 0.763), (10, 10, 0.722, 1)]
)
def test_wilson_interval(hits, total, low, high):
    """Newcombe's figures for ten trials."""
    result = share("some", hits, total, {})
    assert result.interval == pytest.approx((low, high), abs=1e-3) and result.value == hits / total
