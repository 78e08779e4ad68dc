"""Who asks: a token that we signed, and nothing that a client says about itself.

    <base64url of a JSON object>.<base64url of its HMAC-SHA256>

The object holds the user, the tenant, the plan, the teams, the language, when the token ends, and the id of the key
that signed it. Whoever signs people in (a sign-in page, another service) calls `sign`; this service only reads.

PATTERNS_SIGNING_KEY holds the key: at least 32 bytes of text. Several, with spaces between them, are for changing it:
the first one signs, all of them are accepted.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from ..errors import CallerError
from ..events import Plan, User

VARIABLE = "PATTERNS_SIGNING_KEY"
SHORTEST_KEY = 32  # bytes
LONGEST_TOKEN = 2_048  # characters
SESSION_SECONDS = 12 * 3_600.0


@dataclass(frozen=True, slots=True)
class Person:
    """An authenticated user, with a name to greet them by. The name is text from outside, and may be anything."""

    user: User
    name: str = ""


class Keys:
    """Signing keys by id. The first one signs. Raises CallerError (`not_set_up`) for none, or for one that is short."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or min(map(len, keys)) < SHORTEST_KEY:
            raise CallerError(
                f"A signing key needs at least {SHORTEST_KEY} bytes.",
                f"Set {VARIABLE} to what `python -c 'import secrets; print(secrets.token_urlsafe(32))'` prints.",
                "not_set_up",
            )
        self._by_id = {hashlib.sha256(key).hexdigest()[:8]: key for key in keys}
        self._signing = next(iter(self._by_id))

    def sign(self, person: Person, seconds: float = SESSION_SECONDS) -> str:
        """A token for `person` that is good for `seconds`."""
        claims = asdict(person.user) | {"name": person.name, "exp": int(time.time() + seconds), "kid": self._signing}
        body = _text(json.dumps(claims, separators=(",", ":")).encode())
        return f"{body}.{_text(_mac(self._by_id[self._signing], body))}"

    def read(self, token: str) -> Person:
        """The person that a token names. Raises CallerError (`not_signed_in`), the same for every fault."""
        try:
            return self._checked(token)
        except (ValueError, TypeError, KeyError, RecursionError):
            raise not_signed_in() from None

    def _checked(self, token: str) -> Person:
        if len(token) > LONGEST_TOKEN:
            raise ValueError("too long")
        body, _, mac = token.partition(".")
        # The key's id is read before the signature is checked, and only to choose among our own keys.
        claims = json.loads(_bytes(body))
        if not hmac.compare_digest(_mac(self._by_id[claims["kid"]], body), _bytes(mac)):
            raise ValueError("not signed by us")
        if not claims["exp"] > time.time():
            raise ValueError("too old")
        return Person(_user(claims), str(claims["name"]))


def _user(claims: Mapping[str, Any]) -> User:
    texts = [claims[name] for name in ("id", "tenant", "language")]
    if not all(isinstance(text, str) and text for text in texts) or claims["plan"] not in get_args(Plan):
        raise ValueError("not a user")
    return User(texts[0], texts[1], claims["plan"], tuple(map(str, claims["teams"])), texts[2])


def _mac(key: bytes, body: str) -> bytes:
    return hmac.digest(key, body.encode(), "sha256")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    # Strictly: a second spelling of the same token would be a second token to whoever blocks one.
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _text(data) != text:
        raise binascii.Error("not the canonical form")
    return data


def not_signed_in() -> CallerError:
    return CallerError("Nobody is signed in.", "Sign in again.", "not_signed_in")


def keys_of_environment() -> Keys | None:
    """The keys in PATTERNS_SIGNING_KEY, or None when it is not set. Raises CallerError (`not_set_up`)."""
    given = os.environ.get(VARIABLE, "").split()
    return Keys([key.encode() for key in given]) if given else None


def keys_of_file(path: Path) -> Keys:
    """The key in the file at `path`, which only its owner may read; made when it is not there. For trying things out.

    Raises CallerError (`not_set_up`, `store_unwritable`).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(SHORTEST_KEY))
        except FileExistsError:
            pass
        if path.stat().st_mode & 0o077:
            raise CallerError(f"Others may read the signing key in {path}.", f"Run: chmod 600 {path}", "not_set_up")
        return Keys([path.read_text(encoding="utf-8").encode()])
    except OSError as error:
        raise CallerError(
            f"The signing key in {path} cannot be used: {error}.", f"Set {VARIABLE} instead.", "store_unwritable"
        ) from error
