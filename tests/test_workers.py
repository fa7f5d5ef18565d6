"""Pictures decoded in several processes are those decoded in one, whatever happens to the processes."""

import os
import signal

import numpy as np
import pytest
from PIL import Image

from gan_helpers import draw_faces, prepare_images
from gan_helpers.data import images as images_module
from gan_helpers.data import workers
from gan_helpers.data.decoding import load_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    for number, face in enumerate(draw_faces(70, 32, seed=2)[0]):
        Image.fromarray(face).save(folder / f"{number:02}.{'jpg' if number % 3 else 'png'}")
    (folder / "05.png").write_bytes(b"")
    (folder / "50.jpg").write_text("no picture")
    return folder


@pytest.mark.parametrize(
    ("share", "cores"),
    [
        ({}, 6),
        ({"cpu.max": "max 100000\n"}, 6),
        ({"cpu.max": "400000 100000\n"}, 4),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu.max": "9600000 100000\n"}, 6),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 6),
        ({"cpu/cpu.cfs_quota_us": "300000\n"}, 6),
        ({"cpu.max": "300000 0\n"}, 6),
        ({"cpu.max": "no numbers at all\n"}, 6),
        ({"cpu.max": ""}, 6),
    ],
)
def test_usable_cores_are_those_of_the_process_and_its_container(share, cores, tmp_path, monkeypatch):
    for name, text in share.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(workers, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 5, 6, 7}, raising=False)
    assert workers.usable_cores() == cores


def test_usable_cores_where_a_process_cannot_be_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "CGROUP", tmp_path / "nothing")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    for known, cores in ((3, 3), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda known=known: known)
        assert workers.usable_cores() == cores


def _is_same(one, other):
    return one == other if isinstance(one, str) else np.array_equal(one, other)


@pytest.mark.parametrize("crop", [None, (2, 2, 30, 30)])
def test_same_pictures_and_reasons_in_order(folder, crop):
    paths = sorted(folder.iterdir())
    with workers.decoders(2, 16, crop) as load:
        loaded = load(paths)
        assert len(load(paths[:1])) == 1 and load([]) == []
    expected = [images_module.or_reason(load_image, path, 16, crop) for path in paths]
    assert all(map(_is_same, loaded, expected)) and sum(isinstance(one, str) for one in loaded) == 2


def test_a_prepared_folder_is_the_same(folder, tmp_path, monkeypatch):
    here = prepare_images(folder, 16, cache=tmp_path / "threads")
    monkeypatch.setattr(images_module, "_MUCH", 0)
    monkeypatch.setattr(images_module, "_CHUNK", 16)
    monkeypatch.setattr(images_module, "load_image", None)  # decoding here would fail
    there = prepare_images(folder, 16, cache=tmp_path / "processes")
    assert there.fingerprint == here.fingerprint and there.skipped == here.skipped and there.files == here.files


def test_a_picture_that_ends_its_process_is_named(folder, monkeypatch):
    paths = sorted(folder.iterdir())[:6]
    ask, asked = workers._Child.ask, []

    def ask_and_die(child, some):
        asked.append(len(some))
        if paths[3] in some:
            os.kill(child.process.pid, signal.SIGKILL)
            child.process.wait()
        return ask(child, some)

    monkeypatch.setattr(workers._Child, "ask", ask_and_die)
    with workers.decoders(1, 16, None) as load:
        loaded = load(paths)
    assert loaded[3] == "it ended the process that decoded it" and asked == [6, 1, 1, 1, 1, 1, 1]
    assert all(_is_same(one, load_image(path, 16)) for one, path in zip(loaded, paths, strict=True) if path != paths[3])


def test_no_process_stays(folder):
    with pytest.raises(KeyboardInterrupt), workers.decoders(2, 16, None) as load:
        load(sorted(folder.iterdir())[:4])
        assert len(_children_of_this_process()) == 2 or not os.path.isdir("/proc")
        raise KeyboardInterrupt
    assert not _children_of_this_process()


def _children_of_this_process():
    found = []
    for status in os.listdir("/proc") if os.path.isdir("/proc") else ():
        try:
            with open(f"/proc/{status}/cmdline") as command, open(f"/proc/{status}/stat") as stat:
                if "gan_helpers.data.workers" in command.read() and int(stat.read().split()[3]) == os.getpid():
                    found.append(status)
        except (OSError, ValueError, IndexError):
            continue
    return found
