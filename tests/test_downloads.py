"""Downloads from a server that misbehaves: what comes is whole or is not there, and nothing comes twice."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from loopback import NOTICE, Loopback

from gan_helpers.data import downloads
from gan_helpers.data.downloads import download

CONTENT = np.random.default_rng(0).bytes(300_000)
HALF = len(CONTENT) // 2
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 5.0)  # of a busy machine; half a second where it runs out
    monkeypatch.setattr(downloads, "PAUSE", 0.01)


@pytest.fixture
def server():
    with Loopback() as server:
        server.files["/faces.zip"] = CONTENT
        server.tags["/faces.zip"] = '"first"'
        yield server


def _fetch(server, folder, paths=("/faces.zip",), checksum=SHA256, **arguments):
    addresses = [server.address + path for path in paths]
    return download(addresses, folder / "faces.zip", checksum=checksum, **arguments)


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def _ranges(server):
    return [headers.get("Range") for _, headers in server.asked]


def test_a_file_comes_whole_and_once(server, tmp_path):
    assert _fetch(server, tmp_path).read_bytes() == CONTENT
    assert _names(tmp_path) == ["faces.zip"]
    _fetch(server, tmp_path)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("left", "sent"),
    [(CONTENT, 0), (CONTENT[:-1], len(CONTENT)), (b"", len(CONTENT)), (None, len(CONTENT))],
    ids=["whole", "cut", "empty", "nothing"],
)
def test_what_an_earlier_try_left_is_kept_if_it_is_right(left, sent, server, tmp_path):
    if left is not None:
        (tmp_path / "faces.zip").write_bytes(left)
    downloads.keep_if_right(tmp_path / "faces.zip", SHA256)
    assert _fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.sent.get("/faces.zip", 0) == sent


@pytest.mark.parametrize(
    ("manners", "sent"),
    [
        (["500"], len(CONTENT)),
        (["503", "429"], len(CONTENT)),
        (["cut"], len(CONTENT)),
        (["cut", "cut"], len(CONTENT)),
        (["stall"], len(CONTENT)),
        (["slow"], len(CONTENT)),
        (["long"], len(CONTENT)),
        (["no length"], len(CONTENT)),
        (["chunked"], len(CONTENT)),
        (["chunked cut"], len(CONTENT)),
        (["cut", "500"], len(CONTENT)),
        (["cut", "no range"], HALF + len(CONTENT)),
        (["cut", "another part"], HALF + 2 * len(CONTENT)),
        (["cut", "wrong"], HALF + HALF + len(CONTENT)),
        (["moved /faces.zip", "cut", "moved /faces.zip"], len(CONTENT)),
    ],
)
def test_passing_trouble_is_overcome(manners, sent, server, tmp_path, monkeypatch):
    if manners in (["stall"], ["slow"]):
        monkeypatch.setattr(downloads, "TIMEOUT", 0.5)
    server.script["/faces.zip"] = list(manners)
    assert _fetch(server, tmp_path).read_bytes() == CONTENT
    assert _names(tmp_path) == ["faces.zip"]
    assert server.sent["/faces.zip"] == sent
    came = manners[-1] in ("slow", "long", "no length", "chunked", "no range")
    assert len(server.asked) == len(manners) + (not came)


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("403", "403 Forbidden"),
        ("404", "404 Not Found"),
        ("loop", "302 .*infinite loop"),
        ("html", "a web page instead of the file"),
        ("html as data", "a web page instead of the file"),
        ("wrong", "another checksum, sha256:.*, not sha256:"),
        ("short", "another checksum"),
    ],
)
def test_lasting_trouble_is_named_at_once(manner, reason, server, tmp_path):
    server.script["/faces.zip"] = manner
    with pytest.raises(ValueError, match=f"expected faces from 127.0.0.1:.*received nothing whole .*{reason}"):
        _fetch(server, tmp_path, name="faces")
    assert _names(tmp_path) == []
    assert manner == "loop" or len(server.asked) == 1


@pytest.mark.parametrize(
    ("manner", "reason", "kept"),
    [
        ("500", "500 Internal Server Error", False),
        ("cut", "it broke off after", True),
        ("stall", "no answer within 0.5 seconds", True),
        ("trickle", "less than 1,000 bytes a second", True),
    ],
)
def test_trouble_that_does_not_pass_leaves_a_part_at_most(manner, reason, kept, server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.5)
    server.script["/faces.zip"] = manner
    with pytest.raises(ValueError, match=reason) as raised:
        _fetch(server, tmp_path)
    assert len(server.asked) == downloads.TRIES
    assert _names(tmp_path) == (["faces.zip.part", "faces.zip.part.json"] if kept else [])
    assert ("bytes came and are kept, the next try goes on there" in str(raised.value)) == kept
    part = tmp_path / "faces.zip.part"
    assert not kept or CONTENT.startswith(part.read_bytes())
    server.script.clear()
    assert _fetch(server, tmp_path).read_bytes() == CONTENT


def test_a_web_page_does_not_cost_what_came_before(server, tmp_path):
    server.script["/faces.zip"] = ["cut", "html"]
    with pytest.raises(ValueError, match="web page.*150,000 bytes came and are kept"):
        _fetch(server, tmp_path)
    assert _fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.sent["/faces.zip"] == len(CONTENT) + len(NOTICE)


@pytest.mark.parametrize("checksum", [SHA256, None])
def test_the_next_call_asks_for_the_rest_alone(checksum, server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "TRIES", 1)
    server.script["/faces.zip"] = ["cut"]
    with pytest.raises(ValueError, match="it broke off after 150,000 of 300,000 bytes.*are kept"):
        _fetch(server, tmp_path, checksum=checksum)
    shown = []
    _fetch(server, tmp_path, checksum=checksum, progress=lambda *numbers: shown.append(numbers))
    assert (tmp_path / "faces.zip").read_bytes() == CONTENT
    assert _ranges(server) == [None, f"bytes={HALF}-"] and server.asked[1][1]["If-Range"] == '"first"'
    assert server.sent["/faces.zip"] == len(CONTENT)
    assert shown[0][0] > HALF and shown[-1] == (len(CONTENT), len(CONTENT))


def test_another_part_than_the_one_asked_for_is_not_appended(server, tmp_path):
    server.script["/faces.zip"] = ["cut", "another part"]
    assert _fetch(server, tmp_path, checksum=None).read_bytes() == CONTENT


@pytest.mark.parametrize("manner", ["good", "unconditional"])
def test_a_file_that_changed_in_between_is_fetched_anew(manner, server, tmp_path):
    other = CONTENT[::-1]
    server.script["/faces.zip"] = ["cut", "404"]
    with pytest.raises(ValueError, match="404"):
        _fetch(server, tmp_path, checksum=None)
    server.files["/faces.zip"], server.tags["/faces.zip"] = other, '"second"'
    server.script["/faces.zip"] = [manner]
    assert _fetch(server, tmp_path, checksum=None).read_bytes() == other
    assert _names(tmp_path) == ["faces.zip"]


def test_without_a_checksum_or_a_tag_halves_are_not_joined(server, tmp_path):
    server.script["/faces.zip"] = ["cut"]
    server.tags.clear()
    assert _fetch(server, tmp_path, checksum=None).read_bytes() == CONTENT
    assert _ranges(server) == [None, None]


@pytest.mark.parametrize("tag", [None, 'W/"weak"'])
def test_without_a_strong_tag_the_checksum_decides(tag, server, tmp_path):
    server.script["/faces.zip"] = ["cut"]
    server.tags["/faces.zip"] = tag
    assert _fetch(server, tmp_path).read_bytes() == CONTENT
    assert _ranges(server) == [None, f"bytes={HALF}-"] and "If-Range" not in server.asked[1][1]


def test_mirrors_are_tried_in_turn(server, tmp_path):
    server.files |= {"/second": CONTENT, "/third": CONTENT}
    server.script |= {"/faces.zip": "404", "/second": ["cut"]}
    assert _fetch(server, tmp_path, ("/faces.zip", "/second", "/third")).read_bytes() == CONTENT
    assert [path for path, _ in server.asked] == ["/faces.zip", "/second", "/third"]
    assert server.sent == {"/second": HALF, "/third": len(CONTENT) - HALF}  # the third went on where the second broke


def test_every_mirror_is_named_with_its_reason(server, tmp_path):
    server.script |= {"/faces.zip": "403", "/second": "html"}
    with pytest.raises(ValueError, match="/faces.zip: 403 Forbidden; .*/second: a web page"):
        _fetch(server, tmp_path, ("/faces.zip", "/second"))


def test_nobody_there(server, tmp_path):
    with Loopback() as gone:
        pass
    with pytest.raises(
        ValueError,
        match="expected faces.zip from 127.0.0.1:.*received nothing whole .http:.*: Connection refused.; try later",
    ):
        _fetch(gone, tmp_path)
    assert _names(tmp_path) == []


def test_a_part_that_is_whole_needs_no_server(tmp_path):
    (tmp_path / "faces.zip.part").write_bytes(CONTENT)  # killed before it was renamed
    download(["http://127.0.0.1:9/faces.zip"], tmp_path / "faces.zip", checksum=SHA256)
    assert _names(tmp_path) == ["faces.zip"]


@pytest.mark.parametrize("part", [CONTENT + b"more", CONTENT[:HALF] + b"x", b"x"])
def test_a_part_of_something_else_is_thrown_away(part, server, tmp_path):
    (tmp_path / "faces.zip.part").write_bytes(part)
    (tmp_path / "faces.zip.part.json").write_text("{damaged")
    server.files["/second"] = CONTENT
    assert _fetch(server, tmp_path, ("/second", "/faces.zip")).read_bytes() == CONTENT
    assert _names(tmp_path) == ["faces.zip"]


def test_no_room_is_said_before_anything_is_written(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(ValueError, match="expected room for 300,000 bytes more in .*; received 1,000; make room"):
        _fetch(server, tmp_path)
    assert _names(tmp_path) == [] and len(server.asked) == 1


def test_a_full_disk_is_no_matter_of_the_network(server, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        _fetch(server, tmp_path)
    assert len(server.asked) == 1 and "faces.zip" not in _names(tmp_path)


def test_killed_while_downloading_goes_on(server, tmp_path):
    server.script["/faces.zip"] = ["stall"]
    code = f"from gan_helpers.data.downloads import download; download(['{server.address}/faces.zip'], 'faces.zip')"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    part, until = tmp_path / "faces.zip.part", time.monotonic() + 30
    while not (part.exists() and part.stat().st_size > 100_000) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    come = part.stat().st_size
    assert 0 < come <= HALF and not (tmp_path / "faces.zip").exists()
    server.sent.clear()
    assert _fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.sent["/faces.zip"] == len(CONTENT) - come


def test_git_checksums(server, tmp_path):
    server.files["/faces.zip"] = b"hello\n"
    assert _fetch(server, tmp_path, checksum="git:ce013625030ba8dba906f756967f9e9ca394464a").read_bytes() == b"hello\n"
