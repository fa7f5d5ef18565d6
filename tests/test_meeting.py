"""Workers meet, over loopback and within one process: each is a thread."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gan_helpers.training import meeting as meeting_module
from gan_helpers.training.cluster import Cluster, read_cluster
from gan_helpers.training.meeting import WAIT, Meeting


def _config(workers=("a:1", "b:2"), kind="worker", index=0, **more):
    return json.dumps({"cluster": {"worker": list(workers), **more}, "task": {"type": kind, "index": index}})


def _addresses(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = tuple(f"127.0.0.1:{one.getsockname()[1]}" for one in held)
    for one in held:
        one.close()
    return addresses


def _together(act, count=3, seconds=20, clusters=None):
    """What `act(meeting)` gave in each worker, or the error that it raised."""
    if clusters is None:
        addresses = _addresses(count)
        clusters = [Cluster(addresses, index) for index in range(count)]

    def one(cluster):
        try:
            meeting = Meeting(cluster, seconds)
        except ValueError as error:
            return error
        try:
            return act(meeting)
        except Exception as error:
            return error
        finally:
            meeting.close()

    with ThreadPoolExecutor(len(clusters)) as pool:
        return list(pool.map(one, clusters))


def test_all_hear_what_the_first_one_makes_of_what_all_say():
    assert _together(lambda meeting: meeting.exchange(meeting.index**2, sum)) == [5, 5, 5]


def test_several_exchanges_stay_in_order():
    answers = _together(lambda meeting: [meeting.exchange([meeting.index, turn], list) for turn in range(5)], count=2)
    assert answers == [[[[0, turn], [1, turn]] for turn in range(5)]] * 2


def test_settings_alike_pass_and_others_are_named_to_all():
    alike = _together(lambda meeting: meeting.agree({"seed": 1, "crop": (1, 2), "data": None}))
    assert alike == [None] * 3
    errors = _together(lambda meeting: meeting.agree({"seed": meeting.index // 2, "image_size": 64}))
    for error in errors:
        assert isinstance(error, ValueError)
        assert "received other settings (seed: 0 on worker 0, 1 on worker 2)" in str(error)
    assert str(errors[1]).startswith("worker 0: ") and not str(errors[0]).startswith("worker 0: ")


def test_a_setting_that_only_one_has_is_another_setting():
    errors = _together(lambda meeting: meeting.agree({"slice": 1} if meeting.index else {}), count=2)
    assert all("slice: None on worker 0, 1 on worker 1" in str(error) for error in errors)


def test_what_fails_on_the_first_one_fails_on_all():
    def act(meeting):
        def fail(_):
            raise OSError("no room")

        return meeting.exchange(None, fail)

    first, *others = _together(act)
    assert isinstance(first, OSError)
    assert all(isinstance(error, ValueError) and str(error) == "worker 0: no room" for error in others)


def test_a_shared_folder_passes_and_nothing_stays_in_it(tmp_path):
    assert _together(lambda meeting: meeting.share(tmp_path)) == [None] * 3
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_shared(tmp_path, monkeypatch):
    monkeypatch.setattr(meeting_module, "LOOK", 0.3)
    for index in range(3):
        (tmp_path / str(index % 2)).mkdir(exist_ok=True)
    errors = _together(lambda meeting: meeting.share(tmp_path / str(meeting.index % 2)))
    for error in errors:
        assert "expected a folder that all workers share" in str(error) and "where worker 1 does not see" in str(error)
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize("missing", [0, 1])
def test_a_worker_that_never_comes_is_named_in_time(missing):
    addresses = _addresses(3)
    came = [Cluster(addresses, index) for index in range(3) if index != missing]
    began = time.monotonic()
    errors = _together(lambda meeting: None, seconds=1.5, clusters=came)
    assert 1.0 < time.monotonic() - began < 10
    for error in errors:
        expected = (
            f"received none as worker 1 ({addresses[1]})" if missing else f"worker 0 at {addresses[0]}; received no"
        )
        assert expected in str(error)
    assert WAIT <= 45


def test_a_worker_that_goes_is_told_from_one_that_takes_its_time():
    def act(meeting):
        if meeting.index == 2:
            return None
        time.sleep(0.5 * meeting.index)
        return meeting.exchange(None, lambda _: "all")

    first, other, _ = _together(act)
    assert "expected worker 2 to go on; received the end of its connection" in str(first)
    assert str(other).startswith("worker 0: expected worker 2 to go on")


def test_the_first_one_goes():
    errors = _together(lambda meeting: meeting.index and meeting.exchange(1, sum), count=2)
    assert errors[0] == 0 and "expected worker 0 to go on" in str(errors[1])


def test_two_who_say_that_they_are_the_same():
    addresses = _addresses(3)
    errors = []

    class Twin(Meeting):
        """Says that it is worker 1, from a port of its own."""

        def _send(self, index, message):
            return super()._send(index, message | {"index": 1} if "index" in message else message)

    def second():
        with pytest.raises(ValueError, match="each worker once"):
            Twin(Cluster(addresses, 2), 5)

    thread = threading.Thread(target=second)
    thread.start()
    errors = _together(lambda meeting: None, seconds=5, clusters=[Cluster(addresses, index) for index in (0, 1)])
    thread.join()
    assert all("received two that say they are worker 1" in str(error) for error in errors)


def test_other_lists_of_addresses():
    addresses = _addresses(3)
    clusters = [Cluster(addresses[:2], 0), Cluster((addresses[0], addresses[2]), 1)]
    errors = _together(lambda meeting: None, seconds=5, clusters=clusters)
    assert all("expected the same addresses in the TF_CONFIG of all workers" in str(error) for error in errors)


def test_strangers_who_knock_do_no_harm():
    addresses = _addresses(2)
    host, port = addresses[0].split(":")

    def knock():
        for words in (b"", b"GET / HTTP/1.1\r\n\r\n", b"[1]\n", b'{"index": "x"}\n'):
            for _ in range(50):
                try:
                    with socket.create_connection((host, int(port)), 1) as stranger:
                        stranger.sendall(words)
                    break
                except OSError:
                    time.sleep(0.05)

    thread = threading.Thread(target=knock)
    thread.start()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(Meeting, Cluster(addresses, 0), 20)
        thread.join()
        both = [first.result(), pool.submit(Meeting, Cluster(addresses, 1), 20).result()] if first.done() else None
        other = pool.submit(Meeting, Cluster(addresses, 1), 20) if both is None else None
        both = both or [first.result(), other.result()]
        answers = [pool.submit(one.exchange, one.index, sum) for one in both]
        assert [answer.result() for answer in answers] == [1, 1]
        for one in both:
            one.close()


def test_a_port_that_is_taken():
    addresses = _addresses(2)
    with (
        socket.create_server(("127.0.0.1", int(addresses[1].split(":")[1]))),
        pytest.raises(ValueError, match=r"expected port \d+ of worker 1 to be free; received: Address already in use"),
    ):
        Meeting(Cluster(addresses, 1), 1)


def test_cluster_is_read(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", _config(index=1))
    assert read_cluster() == Cluster(("a:1", "b:2"), 1) and read_cluster().port == 2
    assert read_cluster(_config(["[::1]:7", "b.host:2"])).port == 7


def test_a_chief_is_the_first_worker():
    assert read_cluster(_config(["b:2"], chief=["a:1"])) == Cluster(("a:1", "b:2"), 1)
    assert read_cluster(_config(["b:2"], "chief", chief=["a:1"])) == Cluster(("a:1", "b:2"), 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected TF_CONFIG as JSON.*received none; set it"),
        ("{", r"expected TF_CONFIG as JSON.*received \{; set it"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "expected TF_CONFIG as JSON"),
        ("[]", "expected TF_CONFIG as JSON"),
        (_config(["a:1"]), "at least two workers in TF_CONFIG.*received 1;"),
        (_config(["a:1", "a:1"]), "each once; received 'a:1'"),
        (_config(["a:1", "b"]), "each as host:port, each once; received 'b'"),
        (_config(["a:1", "b:99999"]), "received 'b:99999'"),
        (_config(index=2), "one of its 2 workers, counted from 0; received type 'worker', index 2"),
        (_config(index=-1), "received type 'worker', index -1"),
        (_config(kind="ps"), "received type 'ps', index 0"),
        (_config(kind="chief"), "received type 'chief', index 0"),
    ],
)
def test_a_wrong_tf_config_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        read_cluster(text)
