"""The assistant as a service: HTTP in, server-sent events out, and a chat page for a browser.

    identity.py         who asks: a signed token, and nothing else
    guard.py            what a request must be before anybody reads it: its size, its origin, its form
    refusals.py         what a customer is told when there is no answer, and the HTTP status that goes with it
    conversations.py    who said what, kept here: no client is believed about it
    turns.py            the turns that run now: how many, how to stop one, how to come back to one
    frames.py           an event as the bytes of a server-sent event
    stream.py           events to one client, at its own pace, until it leaves
    app.py              the endpoints
    server.py      connections that never ask anything, or never finish asking
    page/               the chat page: HTML, CSS and JavaScript, as they are

`python -m patterns.serve` runs it.
"""
