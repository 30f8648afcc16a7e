"""`pixtally view` as a user types it: the address, errors in one line, an end without a trace."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import pixtally as pt
from pixtally.cli import main
from pixtally.viewer.server import Explorer


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "hist.zarr"
    pt.write_histogram(np.zeros((3, 8, 9), "uint8"), path, progress=False)
    return path


def run(*arguments: str) -> tuple[int, list[str]]:
    done = CliRunner().invoke(main, ["view", *arguments, "--no-browser"])
    return done.exit_code, done.stderr.splitlines()


def test_what_is_no_store_is_one_line(tmp_path):
    code, lines = run(str(tmp_path / "nowhere.zarr"))
    assert code == 1
    assert lines == [
        f"pixtally: {tmp_path / 'nowhere.zarr'} does not exist; name a histogram or a collection "
        "of images"
    ]
    (tmp_path / "folder").mkdir()
    code, lines = run(str(tmp_path / "folder"))
    assert (code, len(lines)) == (1, 1)
    assert "no histogram and no collection of images" in lines[0]


def test_a_port_in_use_is_one_line(store):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, lines = run(str(store), "--port", str(port))
    assert code == 1
    assert lines == [
        f"pixtally: port {port} is in use; choose another (--port 0 takes any free one)"
    ]


def test_an_address_that_is_not_here_is_one_line(store):
    code, lines = run(str(store), "--address", "203.0.113.7")
    assert code == 1
    assert len(lines) == 1
    assert "cannot listen on 203.0.113.7" in lines[0]


def test_the_address_is_printed_and_answers_until_ctrl_c(store):
    command = [sys.executable, "-m", "pixtally.cli", "view", str(store), "--port", "0"]
    # A browser that is not there: the address is what a person needs.
    environment = {**os.environ, "BROWSER": "/nonexistent", "DISPLAY": ""}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().split()[0]
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(url, timeout=20) as answer:
            page = answer.read().decode()
    finally:
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert "3 images, 8 × 9 pixels" in page
    assert "http://cdn" not in page
    assert "https://" not in page.replace("http://www.w3.org", "")
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert "no browser here" in errors


def test_the_page_is_escaped(tmp_path):
    path = tmp_path / "a<script>alert(1)</script>&.zarr"
    path = path.with_name(path.name.replace("/", "_"))
    pt.write_histogram(np.zeros((3, 8, 9), "uint8"), path, progress=False)
    from pixtally.browse.opening import open_target

    made = Explorer(open_target(path))
    try:
        query = "?a=</script><script>alert(2)</script>"
        with urllib.request.urlopen(made.url + query.replace("<", "%3C"), timeout=20) as answer:
            page = answer.read().decode()
    finally:
        made.close()
    assert "<script>alert" not in page


def test_explore_is_a_frame_of_a_page_that_answers(store):
    hist = pt.open_histogram(store)
    made = hist.tally.explore()
    assert f'src="{made.url}"' in made._repr_html_()
    assert made.url in repr(made)
    with urllib.request.urlopen(made.url, timeout=20) as answer:
        assert "histogram in memory" in answer.read().decode()
    made.close()
    with pytest.raises(OSError, match=r"refused|reset"):
        urllib.request.urlopen(made.url, timeout=5)
    with pytest.raises(pt.PixtallyError, match="closed"):
        made._repr_html_()


def test_explore_refuses_a_port_in_use(store):
    first = pt.open_histogram(store).tally.explore()
    port = int(first.url.rsplit(":", 1)[1].strip("/"))
    with pytest.raises(pt.PixtallyError, match=f"port {port} is in use"):
        pt.open_histogram(store).tally.explore(port=port)
    first.close()


def test_a_page_elsewhere_may_not_talk_to_the_server(store):
    made = pt.open_histogram(store).tally.explore()
    try:
        origins = made._running._tornado.websocket_origins
        port = made.url.rsplit(":", 1)[1].strip("/")
        assert origins == {f"localhost:{port}", f"127.0.0.1:{port}"}
    finally:
        made.close()


def test_help_shows_examples():
    text = CliRunner().invoke(main, ["view", "--help"]).output
    assert "pixtally view hist.zarr" in text
    assert json.dumps(text)
