"""Bug screenshots: what one shows, sorted as a ticket.

found = await triage_screenshot(data, "It does not heat")
found.sight          # kind, alt text, error code, text; None when the picture could not be read
found.triage         # as in `triage.py`

Two calls, and neither has tools. The first reads the picture. The second sorts what was read, together with what the
customer wrote, exactly as it sorts a typed ticket.
"""

from dataclasses import dataclass

from .events import User
from .multimodal import Sight, see
from .pictures import prepare_in_thread
from .triage import Triage, triage


@dataclass(frozen=True, slots=True)
class Ticket:
    """`served` is "live", or "simplified" where rules had to sort it."""

    sight: Sight | None
    triage: Triage | None
    served: str
    cost_usd: float | None


async def triage_screenshot(data: bytes, note: str = "", user: User = User(), name: str = "The image") -> Ticket:
    """Sort a screenshot. Raises CallerError for a picture that may not be sent, ProviderError, LimitHit (`budget`)."""
    picture = await prepare_in_thread(data, name)
    seen = await see(picture.image, user, feature="triage")
    sight = seen.output if isinstance(seen.output, Sight) else None
    sorted_ = await triage(as_ticket(sight, note), user)
    costs = (seen.cost_usd, sorted_.cost_usd)
    return Ticket(
        sight,
        sorted_.output if isinstance(sorted_.output, Triage) else None,
        sorted_.served,
        None if None in costs else sum(cost or 0.0 for cost in costs),
    )


def as_ticket(sight: Sight | None, note: str) -> str:
    """What the customer wrote, and then what the picture says, told apart."""
    said = note.strip() or "(The customer sent a screenshot and wrote nothing.)"
    return f"{said}\n\nThe screenshot says:\n{sight.all_text}" if sight else said


async def alt_text(data: bytes, user: User = User(), name: str = "The image") -> str | None:
    """One sentence that says what a picture shows, for somebody who cannot see it; None when it could not be read."""
    picture = await prepare_in_thread(data, name)
    sight = (await see(picture.image, user)).output
    return sight.alt_text if isinstance(sight, Sight) else None
