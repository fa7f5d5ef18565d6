import math
import time

import numpy as np
import pytest

from gan_helpers import draw_faces, metrics
from gan_helpers.metrics.distances import Statistics, frechet_distance, square_root, squared_mmd, statistics

RANDOM = np.random.default_rng(0)
SMALL = {"network": "small"}


def _normal(count, width=8, seed=0, mean=0.0, scale=1.0):
    return (mean + scale * np.random.default_rng(seed).standard_normal((count, width))).astype(np.float32)


@pytest.fixture(scope="module")
def faces():
    return draw_faces(240, 32, seed=1)[0]


def test_frechet_distance_of_known_normals():
    a = Statistics(np.zeros(2), np.diag([1.0, 4.0]))
    b = Statistics(np.array([3.0, 4.0]), np.diag([9.0, 1.0]))
    # |(3, 4)|^2 + (1 - 3)^2 + (2 - 1)^2, since the square roots commute
    assert frechet_distance(a, b) == pytest.approx(25 + 4 + 1)


def test_frechet_distance_of_covariances_that_do_not_commute():
    """Against the definition's matrix square root, by the eigenvalues of the unsymmetric product."""
    parts = [RANDOM.standard_normal((20, 6)) @ RANDOM.standard_normal((6, 6)) for _ in range(2)]
    a, b = (Statistics(part.mean(0), np.cov(part, rowvar=False)) for part in parts)
    roots = np.sqrt(np.linalg.eigvals(a.covariance @ b.covariance).real)
    expected = ((a.mean - b.mean) ** 2).sum() + np.trace(a.covariance + b.covariance) - 2 * roots.sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-8)


def test_statistics_are_numpys():
    vectors = _normal(5000, 16, mean=100)  # far from 0, where sums of squares lose digits
    found = statistics(vectors)
    np.testing.assert_allclose(found.mean, vectors.astype(np.float64).mean(0), rtol=1e-12)
    np.testing.assert_allclose(
        found.covariance, np.cov(vectors.astype(np.float64), rowvar=False), rtol=1e-9, atol=1e-12
    )
    assert found.count == 5000


def test_square_root_squares_back_also_where_singular():
    wide = _normal(10, 30).astype(np.float64)
    covariance = np.cov(wide, rowvar=False)
    root = square_root(covariance)
    assert root.dtype == np.float64
    np.testing.assert_allclose(root @ root, covariance, atol=1e-9)


def test_square_root_of_2048_is_quick():
    covariance = np.cov(_normal(3000, 2048), rowvar=False)
    began = time.process_time()
    square_root(covariance)
    assert time.process_time() - began < 2 * 15  # seconds of both cores, whatever else they do


@pytest.mark.parametrize("count", [3, 10, 200])
def test_identical_sets_are_at_distance_zero(count):
    """Also with fewer pictures than features, whose covariance is singular: never NaN, never complex."""
    vectors = _normal(count, 40)
    for options in ({}, {"groups": 0}):
        value = metrics.fid(vectors, vectors, **options).value
        assert isinstance(value, float) and 0 <= value < 1e-4


def test_constant_pictures():
    constant = np.full((4, 32, 32, 3), 128, np.uint8)
    assert metrics.fid(constant, constant, **SMALL).value == pytest.approx(0, abs=1e-6)
    other = np.full((4, 32, 32, 3), 30, np.uint8)
    result = metrics.fid(constant, other, **SMALL)
    assert result.value > 1 and result.spread == pytest.approx(0, abs=1e-6)
    assert metrics.kid(constant, constant, **SMALL).value == pytest.approx(0, abs=1e-9)


def test_fid_error_is_that_of_other_samples():
    """The jackknife's standard error against the deviation over samples drawn anew."""
    real = _normal(4000, 6, seed=100)
    drawn = [metrics.fid(real, _normal(400, 6, seed=n, mean=0.4)) for n in range(40)]
    deviation = np.std([one.value for one in drawn])
    stated = np.mean([one.spread for one in drawn])
    assert 0.6 < stated / deviation < 1.6
    low, high = drawn[0].interval
    assert low < drawn[0].value < high
    assert metrics.fid(real, _normal(50, 6), groups=0).spread is None


def test_fid_infinity_takes_the_bias_away():
    """FID of equal distributions is 0; few pictures raise it."""
    real, fake = _normal(50_000, 24, seed=1), _normal(1500, 24, seed=2)
    biased = metrics.fid(real, fake, groups=0).value
    freed = metrics.fid_infinity(real, fake)
    assert biased > 0.1
    assert abs(freed.value) < biased / 3 and freed.interval[0] < freed.value < freed.interval[1]
    assert freed.conditions["fake_count"] == 1500


def test_kid_is_unbiased_and_signed():
    values = [metrics.kid(_normal(60, 5, seed=n), _normal(60, 5, seed=500 + n), subsets=4).value for n in range(100)]
    assert abs(np.mean(values)) < 4 * np.std(values) / 10 and min(values) < 0
    assert metrics.kid(_normal(200, 5), _normal(200, 5, seed=1, mean=1)).value > 0.5


def test_squared_mmd_against_its_sums():
    x, y = _normal(5, 3).astype(np.float64), _normal(4, 3, seed=1).astype(np.float64)

    def kernel(a, b):
        return (a @ b / 3 + 1) ** 3

    within = [
        sum(kernel(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j) / (len(s) * (len(s) - 1))
        for s in (x, y)
    ]
    between = sum(kernel(a, b) for a in x for b in y) / 20
    assert squared_mmd(x, y) == pytest.approx(sum(within) - 2 * between, rel=1e-10)


def test_kid_states_its_subsets():
    result = metrics.kid(_normal(100), _normal(300, seed=1), subsets=7, seed=3)
    assert {"subsets": 7, "subset_size": 50, "real_count": 100, "fake_count": 300, "seed": 3}.items() <= (
        result.conditions.items()
    )
    assert result == metrics.kid(_normal(100), _normal(300, seed=1), subsets=7, seed=3)


def test_inception_score_of_known_logits():
    sure = np.eye(10, dtype=np.float32)[np.arange(1000) % 10] * 100
    assert metrics.inception_score(sure, splits=1).value == pytest.approx(10, rel=1e-6)
    assert metrics.inception_score(np.zeros((50, 10), np.float32)).value == pytest.approx(1)
    one_class = np.tile(sure[:1], (50, 1))
    result = metrics.inception_score(one_class, splits=5)
    assert result.value == pytest.approx(1) and result.spread == pytest.approx(0, abs=1e-9)


def test_statistics_are_saved_and_loaded(tmp_path, faces):
    found = statistics(faces, **SMALL)
    found.save(tmp_path / "faces.npz")
    loaded = Statistics.load(tmp_path / "faces.npz")
    np.testing.assert_array_equal(loaded.covariance, found.covariance)
    assert loaded.count == len(faces) and loaded.conditions["features"].startswith("small")
    for real in (loaded, tmp_path / "faces.npz", str(tmp_path / "faces.npz"), faces, iter([faces[:100], faces[100:]])):
        assert metrics.fid(real, faces, groups=0, **SMALL).value == pytest.approx(0, abs=1e-6)


def test_statistics_in_the_layout_of_pytorch_fid(tmp_path):
    np.savez(tmp_path / "theirs.npz", mu=np.zeros(8), sigma=np.eye(8))
    loaded = Statistics.load(tmp_path / "theirs.npz")
    assert loaded.count is None
    assert metrics.fid(loaded, _normal(3000)).value < 0.1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "received a file that does not load"),
        (b"no archive", "received a file that does not load"),
        ({"mu": np.zeros(3)}, "received a file that does not load"),
        ({"mu": np.zeros(3), "sigma": np.eye(4)}, r"received \(3,\) and \(4, 4\)"),
        ({"mu": np.zeros(3), "sigma": np.full((3, 3), np.nan)}, "with NaN or infinity"),
    ],
)
def test_bad_statistics_files(tmp_path, content, message):
    file = tmp_path / "bad.npz"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        np.savez(file, **content)
    with pytest.raises(ValueError, match=message):
        Statistics.load(file)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.fid(_normal(5), _normal(1)), "expected at least 2 fake pictures"),
        (lambda: metrics.fid(_normal(1), _normal(5)), "expected at least 2 pictures"),
        (lambda: metrics.fid(_normal(5), _normal(5, 9)), "received 8 and 9"),
        (lambda: metrics.kid(_normal(5), _normal(5, 9)), "received 8 and 9"),
        (lambda: metrics.kid(_normal(5), _normal(5), subset_size=6), "expected subsets of 2 to 5 pictures"),
        (lambda: metrics.kid(_normal(2), _normal(2)), "expected subsets of 2 to 2 pictures"),
        (lambda: metrics.fid_infinity(_normal(50), _normal(10)), "expected at least 20 fake pictures"),
        (lambda: metrics.fid_infinity(_normal(50), _normal(50), smallest=50), "smallest between 2"),
        (lambda: metrics.fid(_normal(5), np.full((5, 8), math.nan, np.float32)), "NaN or infinity in row 0"),
        (lambda: metrics.kid(_normal(5), np.zeros((5, 8), int)), "expected fake as float features"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_result_reads_well():
    result = metrics.kid(_normal(100), _normal(100, seed=1, mean=1), subsets=5)
    assert str(result).startswith("kid ") and " ± " in str(result) and float(result) == result.value
    with pytest.raises(AttributeError):
        result.value = 0
