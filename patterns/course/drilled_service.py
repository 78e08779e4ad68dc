"""`python -m patterns.course.drilled_service PORT`: the service as it ships, with the key of another process.

The stand-in keeps dials and log by key. With its own key, a service would be out of reach of the drill's faults.
"""

import os
import sys

from .. import models, serve

KEY = "PATTERNS_DRILL_KEY"


def main() -> None:
    models._STANDIN_KEY = os.environ[KEY]
    serve.serve("127.0.0.1", int(sys.argv[1]), serve.DEMO_CUSTOMER)


if __name__ == "__main__":
    main()
