"""`python -m patterns.serve`: the assistant over HTTP, with a chat page.

With PATTERNS_SIGNING_KEY set, it serves whoever comes with a token that this key has signed. Without it, it is a
demonstration: it makes a key of its own in the state folder, and prints a link that signs you in as one of Acme's
customers.
"""

import argparse
import logging
import sys

from . import acme, models, pii, state
from .errors import PatternsError

DEMO_CUSTOMER = "C-0003"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m patterns.serve", description="Serve the support assistant.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on; 0 takes any free one (default 8080)")
    parser.add_argument("--customer", default=DEMO_CUSTOMER, help="whom the demonstration signs in")
    options = parser.parse_args()
    try:
        serve(options.host, options.port, options.customer)
    except PatternsError as error:
        sys.exit(str(error))


def serve(host: str, port: int, customer: str) -> None:
    """Serve until interrupted. Raises PatternsError."""
    from .service import app, identity, server

    log = logging.StreamHandler()
    log.addFilter(pii.ScrubbedLogs())
    logging.basicConfig(level=logging.WARNING, handlers=[log])
    keys = identity.keys_of_environment()
    demo = keys is None
    if keys is None:
        keys = identity.keys_of_file(state.file("signing.key"))
    person = identity.Person(acme.user(customer), acme.customers()[customer]["name"])
    listener = server.listen(host, port)
    print(models.notice())
    url = server.url(listener)
    if demo:
        print(f"A demonstration: open {url}/login?token={keys.sign(person)}")
        print(f"It signs you in as {person.name}, a customer of {person.user.tenant}. Keep it to yourself.")
    print(f"The assistant listens at {url}. Stop it with Ctrl-C.", flush=True)
    server.run(app.build(keys, demo=demo), listener)


if __name__ == "__main__":
    main()
