"""Safety: the model is never the security boundary.

A model that reads a text may do what the text says. No prompt and no filter of words changes that for sure, so nothing
here asks whether a text is evil. Each thing that an attacker could want is held by code that does not read the text:

    text of others        never in the prompt of somebody who may not see it: authorization before retrieval and tools
    an end of a document  angle brackets are escaped, so no text can close its block and speak outside (`core`)
    an effect             only if the customer's own words ask for it (`authority`), and a write after a yes
    an address            only the tenant's own and the customer's go out (`output_guard`)
    a source              only what was given may be cited (`rag.grounded`)
    SQL                   one SELECT over allowed columns, with the customer's own rows put in by code (`sql_guard`)

What is not held: an order that only changes the wording of an answer. Personal data are the other half: `pii`,
`pseudonyms`, `retention`, `forgetting`.
"""

from . import acme_tools, output_guard
from .authority import REFUSED, asked_for
from .events import Layer
from .output_guard import guarded

# Fields of tool results that are the customer's own and that nobody else can write into.
OWN_DATA = {"order_lookup": ("id", "tracking")}

checked_answer: Layer = guarded(OWN_DATA)
asked_for_effects: Layer = asked_for(acme_tools.TOOLS)

# All that the layers ever say in place of an answer.
REFUSALS = (*REFUSED.values(), *(speech["recites"] for speech in output_guard.TEXTS.values()))

# As a request meets them; the agent stands between them.
LAYERS: tuple[Layer, ...] = (checked_answer, asked_for_effects)
