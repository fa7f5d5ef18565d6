"""Who trains together on several machines, as `TF_CONFIG` says it."""

import json
import os
from dataclasses import dataclass

EXAMPLE = (
    'such as {"cluster": {"worker": ["first.host:2222", "second.host:2222"]}, "task": {"type": "worker", "index": 0}}, '
    "with another index on each machine"
)


@dataclass(frozen=True)
class Cluster:
    """Who trains together, as `TF_CONFIG` says it.

    Attributes:
        addresses: `"host:port"` of each worker, the same on all of them, in the same order.
        index: which of them this process is. Worker 0 alone writes the run.
    """

    addresses: tuple
    index: int

    @property
    def port(self):
        return int(self.addresses[self.index].rpartition(":")[2])


def read_cluster(text=None):
    """The cluster that `TF_CONFIG` describes.

    Args:
        text: its JSON. Defaults to the environment's `TF_CONFIG`.

    Returns:
        A `Cluster`. Where there is a `"chief"`, it is worker 0, as for TensorFlow.

    Raises:
        ValueError: it is missing, no such JSON, or names too few workers, none of them twice, or none that is this one.

    Example:
        >>> read_cluster('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}').index
        1
    """
    text = os.environ.get("TF_CONFIG", "") if text is None else text
    try:
        given = json.loads(text)
        lists = {kind: list(given["cluster"].get(kind, [])) for kind in ("chief", "worker")}
        kind, index = given["task"]["type"], int(given["task"]["index"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"expected TF_CONFIG as JSON, {EXAMPLE}; received {text or 'none'}; set it") from None
    addresses = [str(address) for address in lists["chief"] + lists["worker"]]
    strange = [one for one in addresses if not _is_address(one)] or [a for a in addresses if addresses.count(a) > 1]
    if strange or len(addresses) < 2:
        found = f"'{strange[0]}'" if strange else f"{len(addresses)}"
        raise ValueError(
            f"expected the addresses of at least two workers in TF_CONFIG, each as host:port, each once; received "
            f"{found}; {EXAMPLE}"
        )
    if kind not in lists or not 0 <= index < len(lists[kind]):
        raise ValueError(
            f"expected a task of TF_CONFIG that is one of its {len(lists['worker'])} workers, counted from 0; received "
            f"type {kind!r}, index {index}; {EXAMPLE}"
        )
    return Cluster(tuple(addresses), index + (len(lists["chief"]) if kind == "worker" else 0))


def _is_address(text):
    host, colon, port = text.rpartition(":")
    return bool(host and colon and port.isdigit() and 0 < int(port) < 2**16)
