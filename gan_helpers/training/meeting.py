"""Workers of a training on several machines meet before TensorFlow's cluster is made, and agree on what to do.

TensorFlow waits for a worker that never comes without end, and trains on when workers were given other settings. Here
each says who it is, to the first one, over a connection that stays open; so what is wrong is said within a minute, by
every worker, before anything is written.
"""

import contextlib
import json
import secrets
import socket
import time
from pathlib import Path

from gan_helpers.training.cluster import read_cluster

WAIT = 45.0  # seconds in which all workers have to come
LOOK = 5.0  # seconds in which a file shows up in a shared folder; network file systems keep old listings for a while
TOKEN = ".meeting"


class Meeting:
    """Connections of all workers with the first one.

    Args:
        cluster: a `Cluster`. Defaults to that of `TF_CONFIG`.
        seconds: how long to wait for all to come. Defaults to `45`.

    Attributes:
        cluster: the `Cluster`.
        index: which worker this is; 0 alone writes.

    Raises:
        ValueError: `TF_CONFIG` is wrong, a worker did not come in time, two say that they are the same one, they have
            other lists of addresses, or this one's port is taken.

    Example:
        >>> meeting = Meeting()   # on each machine
        >>> meeting.agree({"image_size": 64, "seed": 0})
    """

    def __init__(self, cluster=None, seconds=WAIT):
        self.cluster = cluster or read_cluster()
        self.index = self.cluster.index
        self._peers = {}  # of worker 0 all others, of others worker 0: a socket and a file to read lines from
        self._until = time.monotonic() + seconds
        try:
            with _listening(self.cluster) as listener:
                if self.index == 0:
                    self._receive_all(listener)
            if self.index:  # the port was free, which TensorFlow will want
                self._reach_first()
        except BaseException:
            self.close()
            raise

    def exchange(self, mine, judge):
        """Everybody hands something in, worker 0 looks at it, and all get its answer or its error.

        Waits as long as the others live: they may be preparing their pictures.

        Args:
            mine: plain data of this worker.
            judge: function of the list of what all handed in, by their index, that returns plain data or raises
                `ValueError`. It runs on worker 0.

        Returns:
            What `judge` returned.

        Raises:
            ValueError: `judge`'s, or a worker is gone.
        """
        if self.index:
            self._send(0, {"mine": mine})
            return self._answer()
        try:
            answer = judge([mine, *(self._receive(index)["mine"] for index in sorted(self._peers))])
        except BaseException as error:
            for index in self._peers:
                with contextlib.suppress(ValueError):
                    self._send(index, {"error": str(error) or type(error).__name__})
            raise
        for index in self._peers:
            self._send(index, {"answer": answer})
        return answer

    def agree(self, facts):
        """Sees to it that all workers were given the same.

        Args:
            facts: `dict` of plain data.

        Raises:
            ValueError: they differ; each difference is named.
        """
        self.exchange(json.loads(json.dumps(facts)), _compare)

    def share(self, folder):
        """Sees to it that all workers see the folder that worker 0 writes.

        Args:
            folder: path, as each worker knows it; on worker 0 it exists.

        Raises:
            ValueError: a worker does not see what worker 0 wrote there.
        """
        token = Path(folder) / TOKEN

        def write(_):
            content = secrets.token_hex(16)
            token.write_text(content)
            return content

        def judge(all_saw):
            blind = [str(index) for index, saw in enumerate(all_saw) if not saw]
            if blind:
                raise ValueError(
                    f"expected a folder that all workers share as --output; received '{folder}', where worker "
                    f"{', '.join(blind)} does not see what worker 0 writes; mount the same disk on all machines, and "
                    "give its path"
                )

        try:
            self.exchange(_shows(token, self.exchange(None, write)), judge)
        finally:
            if self.index == 0:
                token.unlink(missing_ok=True)

    def close(self):
        """Ends the connections; others that still wait for this worker are told by that."""
        for peer, file in self._peers.values():
            file.close()
            peer.close()
        self._peers = {}

    # The first worker

    def _receive_all(self, listener):
        expected = len(self.cluster.addresses)
        while len(self._peers) < expected - 1:
            listener.settimeout(max(0.01, self._until - time.monotonic()))
            try:
                peer, _ = listener.accept()
                self._admit(peer)
            except TimeoutError:
                missing = sorted(set(range(1, expected)) - set(self._peers))
                listed = ", ".join(f"{index} ({self.cluster.addresses[index]})" for index in missing)
                self._refuse(
                    f"expected {expected} workers to come; received none as worker {listed} in time; start it with "
                    "the same command and TF_CONFIG but for the index, and see that it reaches worker 0 at "
                    f"{self.cluster.addresses[0]}"
                )
        for index in self._peers:
            self._send(index, {"answer": None})

    def _admit(self, peer):
        peer.settimeout(2.0)  # whoever else knocks, such as a probe of a load balancer, says nothing
        file = peer.makefile("rb")
        try:
            said = json.loads(file.readline(2**20))
            index, addresses = said["index"], tuple(said["addresses"])
        except (OSError, ValueError, KeyError, TypeError):
            file.close()
            peer.close()
            return
        peer.settimeout(None)
        before, self._peers[index] = self._peers.get(index), (_kept_alive(peer), file)
        if addresses != self.cluster.addresses:
            self._refuse(
                f"expected the same addresses in the TF_CONFIG of all workers; received {', '.join(addresses)} from "
                f"worker {index}, where worker 0 has {', '.join(self.cluster.addresses)}; set them alike"
            )
        if before or index == 0:
            self._peers[-1] = before or self._peers[index]
            self._refuse(
                f"expected each worker once; received two that say they are worker {index}; give each its own index in "
                "TF_CONFIG"
            )

    def _refuse(self, text):
        for index in self._peers:
            with contextlib.suppress(ValueError):
                self._send(index, {"error": text})
        raise ValueError(text)

    # The others

    def _reach_first(self):
        host, _, port = self.cluster.addresses[0].rpartition(":")
        while True:
            try:
                peer = socket.create_connection((host.strip("[]"), int(port)), timeout=2.0)
                peer.settimeout(max(1.0, self._until + 5.0 - time.monotonic()))  # worker 0 says why others are missing
                self._peers[0] = _kept_alive(peer), peer.makefile("rb")
                self._send(0, {"index": self.index, "addresses": self.cluster.addresses})
                self._answer()
                peer.settimeout(None)
                return
            except _Lost:  # worker 0 is being started anew, or it was somebody else's port
                self.close()
            except OSError:
                pass
            if time.monotonic() > self._until:
                raise ValueError(
                    f"expected worker 0 at {self.cluster.addresses[0]}; received no answer in time; start it with the "
                    "same command and TF_CONFIG but for the index, and see that its port can be reached from here"
                )
            time.sleep(0.2)

    # Messages: one line of JSON each

    def _send(self, index, message):
        try:
            self._peers[index][0].sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            raise _Lost(index) from None

    def _receive(self, index):
        try:
            line = self._peers[index][1].readline()
            return json.loads(line)
        except (OSError, ValueError):
            raise _Lost(index) from None

    def _answer(self):
        message = self._receive(0)
        if "error" in message:
            raise ValueError(f"worker 0: {message['error']}")
        return message["answer"]


class _Lost(ValueError):
    def __init__(self, index):
        super().__init__(
            f"expected worker {index} to go on; received the end of its connection; its own output says why; mend "
            "that, and start all workers again with the same commands"
        )


def _compare(all_facts):
    differing = []
    for name in sorted({name for facts in all_facts for name in facts}):
        values = [facts.get(name) for facts in all_facts]
        if any(value != values[0] for value in values):
            odd = next(index for index, value in enumerate(values) if value != values[0])
            differing.append(f"{name}: {values[0]} on worker 0, {values[odd]} on worker {odd}")
    if differing:
        raise ValueError(
            f"expected the same on all workers; received other settings ({'; '.join(differing)}); start them with the "
            "same command, data and versions"
        )


def _shows(token, content):
    until = time.monotonic() + LOOK
    while True:
        with contextlib.suppress(OSError):
            if token.read_text() == content:
                return True
        if time.monotonic() > until:
            return False
        time.sleep(0.1)


def _listening(cluster):
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", cluster.port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", cluster.port))
    except OSError as error:
        raise ValueError(
            f"expected port {cluster.port} of worker {cluster.index} to be free; received: {error.strerror or error}; "
            "end what uses it, or give another port in the TF_CONFIG of all workers"
        ) from error


def _kept_alive(peer):
    """A machine that is gone without a word is noticed after half a minute."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return peer
