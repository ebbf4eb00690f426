"""The server that all HTTP samples share, and one sample as a real process."""

import http.client
import signal
import socket
import subprocess
import sys

import pytest

from argosy.samples.serving import KEEP_ALIVE_S, build_server, open_socket, port_argument


@pytest.mark.parametrize("argv, port", [([], 9080), (["0"], 0), (["8080"], 8080)])
def test_the_port_is_an_optional_argument(argv: list[str], port: int) -> None:
    assert port_argument(argv, 9080) == port


@pytest.mark.parametrize("argv", [["x"], ["70000"], ["-1"], ["1", "2"], [""]])
def test_bad_arguments_end_with_a_usage_error(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        port_argument(argv, 9080)
    assert stopped.value.code == 2
    assert "9080" in capsys.readouterr().err


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """Without TCP_NODELAY every answer took 40 ms."""
    with open_socket(0) as listener, socket.create_connection(("127.0.0.1", listener.getsockname()[1])):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_idle_connections_outlive_the_proxys_patience() -> None:
    assert build_server(lambda *_: None).config.timeout_keep_alive == KEEP_ALIVE_S > 3600


@pytest.mark.parametrize("module", ["helloworld", "tcp_echo"])
def test_a_sample_serves_until_it_is_told_to_stop(module: str) -> None:
    """SIGTERM ends it although a connection is open and idle."""
    command = [sys.executable, "-m", f"argosy.samples.{module}", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.connect()
        if module == "helloworld":
            connection.request("GET", "/hello")
            assert connection.getresponse().read().startswith(b"Hello version")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        connection.close()
    assert errors == ""
    assert process.returncode in (0, -signal.SIGTERM)
