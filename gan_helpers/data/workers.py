"""Processes that decode pictures at once: in threads, the half of the work that is Python's waits for its turn.

They are started by their module's name, not by `multiprocessing`: that would run the user's script again in each, or
fork a process in which TensorFlow has threads.
"""

import math
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import filelock
import numpy as np

from gan_helpers.data import decoding

AT_ONCE = 32  # pictures that a process is given
CGROUP = Path("/sys/fs/cgroup")  # where Linux says what a container may use
_KILLED = "it ended the process that decoded it"


def usable_cores():
    """How many processor cores this process may keep busy: what it is bound to, and what its container is given.

    A container's share of the processor (`docker run --cpus 2`) leaves all of the machine's cores in sight, and stops
    whoever uses more than it for a part of the time.

    Returns:
        An `int`, at least 1; a share that is no whole number counts as the next one above it.

    Example:
        >>> usable_cores()
        2
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _container_share())))


def _container_share():
    """Cores' worth of time that a container is given, by version 2 of Linux' control groups or 1; else infinity."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with suppress(OSError, ValueError, ZeroDivisionError):  # no such file, `max` where nothing is set
            quota, period = map(int, " ".join((CGROUP / name).read_text() for name in names).split())
            if quota > 0:
                return quota / period
    return math.inf


@contextmanager
def decoders(count, image_size, crop):
    """Starts processes that decode; in the `with` block there is a function that gives them work.

    Args:
        count: how many processes.
        image_size: side of the pictures, in pixels.
        crop: `(left, top, right, bottom)`, or `None`; see `load_image`.

    Yields:
        A function of a list of paths that returns, in their order, uint8 arrays `(image_size, image_size, 3)`, or the
        reason, a `str`, why one cannot be used. One picture that ends its process is such a reason too.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        command = [sys.executable, "-m", __name__, str(Path(folder, "lock")), str(image_size), repr(crop)]
        idle = queue.SimpleQueue()
        children = [_Child(command) for _ in range(count)]
        for child in children:
            stack.callback(child.end)
            idle.put(child)

        def decode(paths):
            child = idle.get()
            try:
                return _decoded(child, paths)
            finally:
                idle.put(child)

        pool = stack.enter_context(ThreadPoolExecutor(count))

        def load(paths):
            parts = [paths[first : first + AT_ONCE] for first in range(0, len(paths), AT_ONCE)]
            return [one for part in pool.map(decode, parts) for one in part]

        yield load


def _decoded(child, paths):
    try:
        pictures, reasons = child.ask(paths)
    except (EOFError, OSError, pickle.UnpicklingError):  # which of the pictures it was shows one by one
        child.end()
        child.start()
        return [_KILLED] if len(paths) == 1 else [one for path in paths for one in _decoded(child, [path])]
    pictures = iter(pictures)
    return [next(pictures) if reason is None else reason for reason in reasons]


class _Child:
    def __init__(self, command):
        self.command = command
        self.start()

    def start(self):
        here = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(self.command, env=os.environ | {"PYTHONPATH": path}, **pipes)

    def ask(self, paths):
        pickle.dump(paths, self.process.stdin)
        self.process.stdin.flush()
        return pickle.load(self.process.stdout)

    def end(self):
        with suppress(OSError):
            self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def main():
    """Reads lists of paths and answers each with an array of the pictures, and for every path `None` or a reason."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one, and ends its input
    warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata do not concern the pixels
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not come between the answers
    lock, image_size, crop = sys.argv[1:]
    decoding.share_large(filelock.FileLock(lock))
    image_size, crop = int(image_size), None if crop == "None" else tuple(map(int, crop.strip("()").split(",")))
    with suppress(EOFError):
        while True:
            paths = pickle.load(sys.stdin.buffer)
            loaded = [decoding.or_reason(decoding.load_image, path, image_size, crop) for path in paths]
            reasons = [one if isinstance(one, str) else None for one in loaded]
            good = [one for one in loaded if not isinstance(one, str)]
            pickle.dump((np.asarray(good, np.uint8), reasons), answers, protocol=5)
            answers.flush()


if __name__ == "__main__":
    main()
