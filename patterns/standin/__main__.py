"""`python -m patterns.standin --port 8000` serves a whole workshop."""

import argparse
import sys

from . import server, weights
from .dials import Dials


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m patterns.standin", description="Serve the offline stand-in model.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0 takes any free one (default 8000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the dials' dice (default 0)")
    options = parser.parse_args()
    try:
        weights.installed()
        server.serve(options.host, options.port, Dials(seed=options.seed))
    except (weights.WeightsMissing, server.PortInUse) as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
