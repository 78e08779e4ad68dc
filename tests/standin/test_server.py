"""The stand-in as a server: in a thread, as a program, on a port that is taken, and when it is told to stop."""

import contextlib
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import httpx2
import openai
import pytest
from standin_requests import Turn, chat

import patterns.standin
from patterns.standin.dials import Dials
from patterns.standin.server import PortInUse, Server, serve_in_thread

PROGRAM = [sys.executable, "-m", "patterns.standin"]


@pytest.fixture
def own() -> Iterator[Server]:
    """A server that a test may stop."""
    running = serve_in_thread(dials=Dials(time_to_first_token=0, tokens_per_second=20))
    yield running
    running.stop()


def port_of(server: Server) -> int:
    return int(server.base_url.removesuffix("/v1").rsplit(":", 1)[1])


def test_start_twice_is_one_server() -> None:
    found: list[str] = []
    starters = [threading.Thread(target=lambda: found.append(patterns.standin.start())) for _ in range(4)]
    for thread in starters:
        thread.start()
    for thread in starters:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1
    with openai.OpenAI(base_url=patterns.standin.start(), api_key="standin", max_retries=0) as client:
        assert client.models.list().data


def test_two_servers_share_nothing(server: Server, own: Server, key: str, turn: Turn) -> None:
    turn(outage=["*"])
    assert own.base_url != server.base_url
    headers = {"authorization": f"Bearer {key}"}
    assert httpx2.post(f"{server.base_url}/moderations", json={"input": "a"}, headers=headers).status_code == 503
    assert httpx2.post(f"{own.base_url}/moderations", json={"input": "a"}, headers=headers).status_code == 200


def test_small_requests_on_one_connection_do_not_wait_for_acknowledgements(http: httpx2.Client) -> None:
    """With Nagle's algorithm left on, each of them takes 40 ms."""
    seconds = [http.get("/models").elapsed.total_seconds() for _ in range(30)]
    assert statistics.median(seconds) < 0.03


def test_a_port_in_use_is_said_in_a_sentence(server: Server) -> None:
    with pytest.raises(PortInUse, match=r"^Port \d+ on 127\.0\.0\.1 cannot be used \(.+\)\. Choose another .+\.$"):
        serve_in_thread(port_of(server))
    with pytest.raises(PortInUse, match="0-65535"):
        serve_in_thread(99_999)


def test_a_port_is_taken_before_anyone_is_served() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(PortInUse):
            serve_in_thread(other.getsockname()[1])


def test_stopping_frees_the_port(own: Server) -> None:
    port = port_of(own)
    own.stop()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{own.base_url}/models")
    again = serve_in_thread(port)
    assert httpx2.get(f"{again.base_url}/models").status_code == 401
    again.stop()


def test_a_request_during_shutdown_ends(own: Server) -> None:
    """The reader of a slow stream gets an error or the rest, soon; it never hangs."""
    with openai.OpenAI(base_url=own.base_url, api_key="standin", max_retries=0, timeout=20) as client:
        stream = client.chat.completions.create(**chat(), stream=True)
        assert next(iter(stream))
        begun = time.monotonic()
        own.stop()
        assert time.monotonic() - begun < 4
        with contextlib.suppress(openai.APIConnectionError, httpx2.RemoteProtocolError, httpx2.ReadError):
            for _ in stream:
                pass
        with pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(**chat())
        assert time.monotonic() - begun < 8


def test_stopping_twice_is_harmless(own: Server) -> None:
    own.stop()
    own.stop()


# the program


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_help_says_what_it_takes() -> None:
    done = run("--help")
    assert done.returncode == 0 and done.stderr == ""
    assert all(option in done.stdout for option in ("--host", "--port", "--seed"))


def test_the_program_says_that_its_port_is_taken(server: Server) -> None:
    done = run("--port", str(port_of(server)))
    assert done.returncode == 1
    assert done.stderr.startswith(f"Port {port_of(server)} on 127.0.0.1 cannot be used")
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert done.stdout == ""


def ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as found:
            found.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    "host", ["127.0.0.1", pytest.param("::1", marks=pytest.mark.skipif(not ipv6(), reason="no IPv6"))]
)
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to a single process there")
def test_the_program_serves_until_it_is_interrupted(host: str) -> None:
    program = [*PROGRAM, "--host", host, "--port", "0"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        address = next(word for word in line.split() if word.startswith("http://"))
        assert address.startswith(f"http://[{host}]:" if ":" in host else f"http://{host}:")
        with openai.OpenAI(base_url=address, api_key="standin", max_retries=0, timeout=20) as client:
            assert client.models.list().data
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
        assert process.stderr.read() == ""
