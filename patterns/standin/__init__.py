"""An offline, deterministic, OpenAI-compatible model behind a real loopback socket.

    python -m patterns.standin --port 8000

It imports nothing of the other packages, and they meet it only over HTTP. What it can and cannot stand in for is said
in the README under "What carries over to a real model".
"""


def start() -> str:
    """Start the process's own stand-in, once, on a free loopback port. Returns its base URL.

    Raises `patterns.standin.weights.WeightsMissing` when set-up has not run.
    """
    from . import server, weights

    weights.installed()
    return server.start()
