"""An MCP server of the older kind (2025-11-25), written by hand, that does what its first argument says:

    ask         asks for a confirmation in the middle of each call, and says what it heard
    form        asks for more than a yes
    dies        ends in the middle of a call, with some words on stderr
    slow        does not answer a call
    chatter     writes a line of text before each message
    error       answers calls with a protocol error
    text        answers with plain text, an image, and the error flag
    badlist     lists tools as the protocol does not allow it
    badname, badschema, elsewhere   has a tool that cannot be used

Its tools: `act` (no hints, so a write) and `see` (a read).
"""

import json
import sys
import time
from typing import Any

mode = sys.argv[1]


def send(**message: Any) -> None:
    if mode == "chatter":
        print("starting up, please wait ...", flush=True)
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def receive() -> dict[str, Any]:
    line = sys.stdin.readline()
    return json.loads(line) if line else sys.exit(0)


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"what": {"type": "string", "pattern": "^(a+)+$"}, "how often": {"type": "integer", "minimum": 1}},
    "required": ["what"],
}
if mode == "badschema":
    SCHEMA["properties"]["what"] = {"type": "nonsense"}
if mode == "badlist":
    SCHEMA = {"type": "nonsense"}
if mode == "elsewhere":
    SCHEMA["properties"]["what"] = {"$ref": "http://127.0.0.1:9/schema.json"}
TOOLS = [
    {"name": "ac t" if mode == "badname" else "act", "description": "Act. " * 1_000, "inputSchema": SCHEMA},
    {"name": "see", "description": "See.", "inputSchema": SCHEMA, "annotations": {"readOnlyHint": True}},
]


def call(number: Any, params: dict[str, Any]) -> None:
    if mode == "dies":
        print("the disk is full", file=sys.stderr, flush=True)
        sys.exit(3)
    if mode == "slow":
        time.sleep(600)
    if mode == "error":
        send(id=number, error={"code": -32602, "message": "The arguments are wrong."})
        return
    said = json.dumps(params["arguments"])
    if mode in ("ask", "form"):
        fields = {"ok": {"type": "boolean"}} | ({"password": {"type": "string"}} if mode == "form" else {})
        question = {"message": "Sure?", "requestedSchema": {"type": "object", "properties": fields}}
        send(id=f"q-{number}", method="elicitation/create", params=question)
        while (reply := receive()).get("id") != f"q-{number}":
            pass
        said = json.dumps([params["name"], reply["result"]["action"]])
    content: list[dict[str, Any]] = [{"type": "text", "text": said}]
    if mode == "text":
        content = [
            {"type": "text", "text": "no such thing"},
            {"type": "image", "data": "aGk=", "mimeType": "image/png"},
        ]
    send(id=number, result={"content": content, "isError": mode == "text"})


while True:
    message = receive()
    number, method = message.get("id"), message.get("method")
    if method == "initialize":
        about = {"name": "odd", "version": "1"}
        send(id=number, result={"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": about})
    elif method == "tools/list":
        send(id=number, result={"tools": TOOLS})
    elif method == "tools/call":
        call(number, message["params"])
    elif number is not None:
        send(id=number, error={"code": -32601, "message": "Method not found"})
