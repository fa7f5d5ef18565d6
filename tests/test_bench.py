"""`bench`: what it measures, how it takes turns, and what it recommends."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tqdm import tqdm

from gan_helpers.training import bench as benches
from gan_helpers.training.bench import bench, table
from gan_helpers.training.precision import hardware_precision

ROOT = Path(__file__).resolve().parent.parent
TINY = {"image_size": 32, "base_filters": 1, "batch_size": 2}


@pytest.fixture(scope="module")
def result():
    done = subprocess.run(
        [sys.executable, "-m", "gan_helpers", "bench", "--image-size", "32", "--base-filters", "1"]
        + ["--batch-size", "2", "--seconds", "0.01"],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_command_measures_every_configuration(result):
    measured, _ = result
    rows = measured["configurations"]
    assert {(row["simultaneous"], row["precision"], row["fused"]) for row in rows} >= {
        (kind, precision, True) for kind in (True, False) for precision in ("float32", hardware_precision()[0])
    } | {(kind, "float32", False) for kind in (True, False)}
    assert {row["xla"] for row in rows} == {True, False}
    assert {row["steps_per_execution"] for row in rows} == {1, 10}
    assert len({row["name"] for row in rows}) == len(rows)
    for row in [*rows, measured["input"]]:
        assert len(row["rounds"]) == 3 and min(row["rounds"]) <= row["images_per_second"] <= max(row["rounds"])
    fastest = max(rows, key=lambda row: row["images_per_second"])
    assert measured["best"] == fastest["name"] and not measured["interrupted"]
    ratio = measured["input"]["images_per_second"] / fastest["images_per_second"]
    assert measured["input"]["ratio"] == pytest.approx(ratio, rel=0.01)


def test_command_says_what_it_found(result):
    measured, said = result
    assert measured["machine"]["cores"] >= 1 and measured["machine"]["versions"].keys() >= {"keras", "tensorflow"}
    assert measured["machine"]["onednn"] in ("0", "1")
    assert "bench: 100%" in said and all(row["name"] in said for row in measured["configurations"])
    assert said.rstrip().splitlines()[-1] == f"recommended: python -m gan_helpers train {measured['recommend']}"


class _Clock:
    """Time that passes only in calls."""

    def __init__(self, monkeypatch):
        self.now, self.calls = 0.0, []
        monkeypatch.setattr(benches.time, "perf_counter", lambda: self.now)

    def contender(self, name, seconds, fused=True):
        def run(calls):
            self.calls.append(name)
            self.now += calls * seconds

        return benches._Contender(name, run, 8, {"fused": fused, "steps_per_execution": 1})


def test_turns_are_interleaved_and_a_slow_one_is_timed_once(monkeypatch):
    clock = _Clock(monkeypatch)
    quick, slow = clock.contender("quick", 0.125), clock.contender("slow", 11.0)
    benches._take_turns([quick, slow], seconds=1.0, rounds=3, bar=tqdm(disable=True))
    assert quick.rounds == [64.0] * 3 and slow.rounds == [8 / 11]
    order = [name for n, name in enumerate(clock.calls) if n == 0 or clock.calls[n - 1] != name]
    assert order == ["quick", "slow", "quick", "slow", "quick"]


def test_ctrl_c_keeps_what_was_measured(monkeypatch):
    clock = _Clock(monkeypatch)

    def training(configuration, *_):
        name = benches._name(configuration)
        one = clock.contender(name, 0.25 if configuration["simultaneous"] else 0.5)

        def run(calls):
            if len([call for call in clock.calls if call == name]) > 3:
                raise KeyboardInterrupt
            one.run(calls)

        return run

    monkeypatch.setattr(benches, "_training", training)
    monkeypatch.setattr(benches, "_stream", lambda *_: clock.contender("input alone", 0.125).run)
    measured = bench(**TINY, seconds=1.0, progress=io.StringIO())
    assert measured["interrupted"] and measured["recommend"] == "--precision float32 --simultaneous"
    json.dumps(measured)
    assert table(measured).endswith("train --precision float32 --simultaneous")


def test_ctrl_c_before_anything_was_measured(monkeypatch):
    def training(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(benches, "_training", training)
    with pytest.raises(KeyboardInterrupt):
        bench(**TINY, progress=io.StringIO())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seconds": 0}, "expected seconds above 0; received 0; leave it out"),
        ({"rounds": 0}, "expected rounds above 0; received 0"),
        ({"batch_size": -1}, "expected batch_size above 0; received -1"),
        ({"image_size": 48}, "expected image_size 32 or 64 or 128 or 256 for dcgan; received 48"),
        ({"base_filters": 0}, "expected base_filters as a whole number of at least 1; received 0"),
    ],
)
def test_bad_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        bench(**(TINY | arguments), progress=io.StringIO())
