"""Names of span attributes: those of OpenTelemetry's conventions for generative AI, and our own under `patterns.`.

The conventions are still in development, so every name of theirs that we use is here, once. Source: the repository
open-telemetry/semantic-conventions-genai; `opentelemetry-semantic-conventions` has the same names, and a test compares.
"""

OPERATION = "gen_ai.operation.name"  # chat | embeddings | invoke_agent | execute_tool; rerank and others are our words
PROVIDER = "gen_ai.provider.name"
AGENT = "gen_ai.agent.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_STREAM = "gen_ai.request.stream"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"  # seconds
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
TOOL = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL = "gen_ai.tool.call.id"
ERROR = "error.type"
SERVER, PORT = "server.address", "server.port"

# What people and models said: only where somebody asked for it (`tracing.content`).
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"

# Our own. `app.` would be shorter, and the conventions use it for mobile apps.
TRACE, REQUEST = "patterns.trace_id", "patterns.request_id"
TENANT, FEATURE = "patterns.tenant", "patterns.feature"
LAYER = "patterns.layer"
TIER, SERVED = "patterns.tier", "patterns.served"
OUTCOME = "patterns.outcome"
COST = "patterns.cost_usd"
FIRST_TEXT = "patterns.first_text_seconds"

_OPERATIONS = {"embed": "embeddings", "rerank": "rerank", "transcribe": "transcribe"}


def operation(tier: str) -> str:
    """What a call of that tier does, in the conventions' word where they have one."""
    return _OPERATIONS.get(tier, "chat")
