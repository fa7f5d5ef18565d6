"""A process that forks trainings and kills them at chosen points; two tests talk to it.

TensorFlow is imported once here and never used, so that each fork is a fresh training without the seconds of an import.
A kill is SIGKILL to the training itself: nothing gets to clean up.
"""

import io
import json
import mmap
import os
import random
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import gan_helpers  # noqa: F401
from gan_helpers import Recipe, prepare_images, train
from gan_helpers.training import files, runs


def kill_now():
    os.kill(os.getpid(), signal.SIGKILL)


class Phase:
    """What the training is doing now, in memory that outlives it."""

    def __init__(self):
        self.memory = mmap.mmap(-1, 64)

    def set(self, name):
        self.memory[:] = name.encode().ljust(64)

    def get(self):
        return bytes(self.memory).decode().strip()


class Watched:
    """Puts a call of `at` before and after every write, flush, rename and deletion that the run's files go through."""

    def __init__(self, at):
        self.at = at
        self.name = ""

    def install(self):
        opened, os_before, saving = open, files.os, runs.Run._save_generator
        watched = self

        class File:
            def __init__(self, file):
                self.file = file

            def __getattr__(self, name):
                return getattr(self.file, name)

            def __enter__(self):
                return self

            def __exit__(self, *error):
                self.file.close()

            def write(self, content):
                return watched.around("write", lambda: self.file.write(content))

            def flush(self):
                return watched.around("flush", self.file.flush)

        class Os:
            def __getattr__(self, name):
                return getattr(os_before, name)

            def fsync(self, number):
                return watched.around("fsync", lambda: os_before.fsync(number))

            def replace(self, source, target):
                return watched.around("rename", lambda: os_before.replace(source, target))

        def open_watched(file, mode="r", *rest, **named):
            watched.name = Path(file).name.replace(".writing", "")
            if mode != "wb":
                return opened(file, mode, *rest, **named)
            return File(watched.around("open", lambda: opened(file, mode, *rest, **named)))

        def save_watched(gan, file):
            watched.name = file.name
            watched.around("save", lambda: saving(gan, file))

        unlink = Path.unlink

        def unlink_watched(path, *rest, **named):
            if path.name.startswith("step_"):
                watched.name = path.name
                return watched.around("delete", lambda: unlink(path, *rest, **named))
            return unlink(path, *rest, **named)

        files.open, files.os, Path.unlink = open_watched, Os(), unlink_watched
        runs.Run._save_generator = staticmethod(save_watched)

    def around(self, what, call):
        self.at(f"before {what} {self.kind()}")
        result = call()
        self.at(f"after {what} {self.kind()}")
        return result

    def kind(self):
        return "checkpoint" if self.name.startswith("step_") else self.name


def training(job, phase):
    """One training in a forked process, killed where the job says."""
    import keras
    import tensorflow as tf

    os.environ["TF_CONFIG"] = json.dumps(job.get("tf_config") or {})
    if job.get("distribute"):  # half of the seconds go into making graphs faster that are over at once
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    if job.get("devices"):
        [processor] = tf.config.list_physical_devices("CPU")
        devices = [tf.config.LogicalDeviceConfiguration()] * job["devices"]
        tf.config.set_logical_device_configuration(processor, devices)

    class Steps(keras.callbacks.Callback):
        falling = False

        def on_train_batch_begin(self, batch, logs=None):
            phase.set("step")
            if not self.falling and 0 < job.get("kill_at_step", 0) <= self.model.step + 1:
                self.falling = True
                delay = random.Random(job["kill_at_step"]).uniform(0, job["within"])
                threading.Thread(target=lambda: (time.sleep(delay), kill_now())).start()

        def on_train_batch_end(self, batch, logs=None):
            phase.set("between steps")

    seen = {}

    def at(label):
        if label.startswith("before") and phase.get() != "start":
            phase.set(label.split()[-1])
        seen[label] = seen.get(label, 0) + 1
        if label == job.get("kill_at") and seen[label] == job["nth"]:
            kill_now()

    phase.set("start")
    snapshots = job.get("snapshots")
    Watched(at if not snapshots else Snapshots(Path(job["output"]), Path(snapshots)).take).install()
    recipe = Recipe(**{"base_filters": 4, "latent_dim": 10, "batch_size": 16} | job.get("recipe", {}))
    prepared = prepare_images("drawn", 32, count=job["count"], cache=job["cache"])
    train(
        prepared, job["output"], epochs=job["epochs"], recipe=recipe, deterministic=True, sample_every=2,
        checkpoint_seconds=job["checkpoint_seconds"], callbacks=[Steps()], precision=job.get("precision", "float32"),
        steps_per_execution=job.get("steps_per_execution"), seed=job.get("seed", 0), distribute=job.get("distribute"),
        report=lambda line: None, progress=io.StringIO(),
    )  # fmt: skip


class Snapshots:
    """Copies of the run's folder at every point: what a kill there would leave."""

    def __init__(self, folder, copies):
        self.folder, self.copies, self.labels = folder, copies, []
        self.last = None

    def take(self, label):
        state = sorted((path.as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in self._files())
        if state == self.last:
            return
        self.last = state
        shutil.copytree(self.folder, self.copies / f"{len(self.labels):05d}")
        self.labels.append(label)
        (self.copies / "labels.json").write_text(json.dumps(self.labels))

    def _files(self):
        return (path for path in self.folder.rglob("*") if path.is_file())


def main():
    phase = Phase()
    for line in sys.stdin:
        job = json.loads(line)
        phase.set("start")
        number = os.fork()
        if number == 0:
            try:
                training(job, phase)
                os._exit(0)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
        _, status = os.waitpid(number, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status), "phase": phase.get()}), flush=True)


if __name__ == "__main__":
    main()
