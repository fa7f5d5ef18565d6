"""One process at a time."""

import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock
from tqdm import tqdm


@contextmanager
def alone(file, doing):
    """Holds a lock that ends with the process, however it ends; waits for another one that has it, and says so.

    Once held, look first whether the other one has done the work. The file is deleted when the work is done.

    Args:
        file: path of the lock.
        doing: what is done meanwhile, as in "another process is fetching LFW".
    """
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(file)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        tqdm.write(f"another process is {doing}; waiting for it", file=sys.stderr)
        lock.acquire()
    try:
        yield
        with suppress(OSError):  # Windows deletes no open file
            file.unlink()
    finally:
        lock.release()
