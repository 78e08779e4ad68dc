"""The errors of the project. Each says what happened in one sentence and what to do next in another.

    PatternsError
    ├── CallerError     the caller's mistake: the same call fails again until something is changed
    ├── ProviderError   the provider's failure; `transient` says whether trying again can help
    └── LimitHit        a bound that was set on purpose: a budget, a cap, a deadline

`code` tells the cases apart for programs:

    CallerError     wrong_key, unknown_model, unknown_provider, context_too_long, bad_request, not_set_up,
                    store_unwritable
      of schemas and tools      schema_not_portable, unfit_tool
      of documents              unparseable, empty_document, too_large, duplicate_id
      of the index              mixed_embeddings, bad_vectors, index_busy
      of evals                  self_judging
      of runs                   unknown_run, run_ended, unknown_token, already_decided
      of the service            not_signed_in, not_found
      of bulk work              bulk_busy
    ProviderError   rate_limited, overloaded, unreachable, timeout, stream_cut, bad_stream, quota, refused,
                    breaker_open, cluster_lost, worker_died
    LimitHit        named after the limit: steps, dollars, seconds, no_progress, outcome_unknown, budget, rate_limit,
                    switched_off

What a model is told of a tool call that did not work has a code, too; see `tools.py` and `tool_use.py`.
"""


class PatternsError(Exception):
    def __init__(self, message: str, next_step: str, code: str) -> None:
        super().__init__(f"{message} {next_step}")
        self.message, self.next_step, self.code = message, next_step, code

    def _render_traceback_(self) -> list[str]:
        """What IPython prints in place of a stack trace: in a notebook, the sentence and the next step are enough."""
        return [f"{type(self).__name__} ({self.code}): {self.message}", f"Next step: {self.next_step}"]


class CallerError(PatternsError):
    pass


class ProviderError(PatternsError):
    """`retry_after` is what the provider asked for, in seconds, or None."""

    def __init__(
        self, message: str, next_step: str, code: str, *, transient: bool, retry_after: float | None = None
    ) -> None:
        super().__init__(message, next_step, code)
        self.transient, self.retry_after = transient, retry_after


class LimitHit(PatternsError):
    """`retry_after` says in how many seconds the limit lets a request through again, or None where it will not."""

    def __init__(self, message: str, next_step: str, code: str, *, retry_after: float | None = None) -> None:
        super().__init__(message, next_step, code)
        self.retry_after = retry_after
