"""Counting tokens without the provider's tokenizer: an estimate, and a number that is never passed."""

import json
from collections.abc import Mapping
from typing import Any

CHARACTERS_PER_TOKEN = 4  # for estimates only: about right for English, https://platform.openai.com/tokenizer
TOKENS_A_MESSAGE = 16  # role and separators, with room to spare
# An image is counted in tiles (85 + 170 for each of at most 8) or patches (1,536, times at most 2.5 in small models),
# https://platform.openai.com/docs/guides/images-vision
MOST_TOKENS_AN_IMAGE = 4_096


def estimate_tokens(text: str) -> int:
    """A rough count, for what no provider has counted. Never zero for a text that is not empty."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def most_tokens(text: str) -> int:
    """Tokens that `text` is read as at most: no tokenizer makes more than one out of a byte."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def most_tokens_read(request: Mapping[str, Any]) -> int:
    """Tokens that a chat request is read as at most."""
    messages = request["messages"]
    texts = [text_of(message) for message in messages]
    images = sum(part.get("type") == "image_url" for message in messages for part in _parts(message))
    texts += [json.dumps(message["tool_calls"]) for message in messages if message.get("tool_calls")]
    texts += [json.dumps(request[name]) for name in ("tools", "response_format") if request.get(name)]
    return sum(map(most_tokens, texts)) + TOKENS_A_MESSAGE * (len(messages) + 1) + MOST_TOKENS_AN_IMAGE * images


def text_of(message: Mapping[str, Any]) -> str:
    """What is text in a chat message: its content may be a text or a list of parts, some of them images."""
    content = message.get("content") or ""
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in _parts(message))


def _parts(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message.get("content")
    return content if isinstance(content, list) else []
