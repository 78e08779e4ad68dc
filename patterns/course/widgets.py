"""The course's widgets. Each shows events and sends intents; the logic is in `view.py` and in the layers.

Callbacks may arrive on another thread (JupyterLab runs widget messages in a subshell while a cell is busy), so a button
never touches a task: it asks the loop to, with `call_soon_threadsafe`.
"""

import asyncio
import html
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import ipywidgets
from IPython.display import display

from ..events import ConfirmationRequired, Event, Handler, Turn
from .view import Fields, View

REFRESH_SECONDS = 0.05  # a screen needs no more, and a fast model would flood the browser

STYLE = """<style>
.stream-text{min-height:9em;line-height:1.45;padding:.5em .75em;border:1px solid var(--jp-border-color2,#bbb);
 white-space:normal;border-radius:6px;background:var(--jp-layout-color1,#fff);color:var(--jp-ui-font-color1,#222);overflow-wrap:anywhere}
.stream-chips{min-height:2.7em}
.stream-chips .chip{display:inline-block;margin:0 .35em .35em 0;padding:0 .6em;border-radius:1em;font-size:85%;
 border:1px solid var(--jp-border-color1,#888);color:var(--jp-ui-font-color1,#222)}
.stream-chips .current{border-style:dashed;font-weight:600}
.stream-times{font-family:var(--jp-code-font-family,monospace);font-size:85%;color:var(--jp-ui-font-color1,#222)}
.stream-title{font-weight:600;color:var(--jp-ui-font-color1,#222)}
</style>"""


class PlainText:
    """Gives a widget its whole `repr` as the plain-text form (ipywidgets cuts it off at 110 characters)."""

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_(**options)  # pyright: ignore[reportAttributeAccessIssue]
        return bundle | {"text/plain": repr(self)}


class StreamPanel(PlainText, ipywidgets.VBox):
    """One answer on screen: status chips, the text as it grows, a clock, and a Stop button.

    `await panel.run(handler, turn)` shows a turn and returns its final View. With `whole=True` nothing is shown before
    the end, which is what a blocking call looks like.
    """

    def __init__(self, title: str, whole: bool = False) -> None:
        self._whole = whole
        self._cancel: Callable[[], Any] | None = None
        self._chips, self._text, self._times = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self.button = ipywidgets.Button(
            description="Stop", icon="stop", tooltip="Stop the answer, up to the provider", disabled=True
        )
        self.button.on_click(lambda _: self.stop())
        self._title = title
        heading = ipywidgets.HTML(f'{STYLE}<div class="stream-title">{html.escape(title)}</div>')
        parts = [heading, self._chips, self._text, self._times]
        super().__init__(parts if whole else [*parts, self.button])
        self.layout.width = "100%"
        self._show(View(), 0.0)

    def __repr__(self) -> str:
        return f"[widget · {self._title} · run the cell to see it move]"

    def stop(self) -> None:
        """Abort the running turn. Safe from any thread; does nothing when none runs."""
        cancel = self._cancel  # read once: another thread may clear it in between
        if cancel is not None:
            cancel()

    async def run(self, handler: Handler, turn: Turn) -> View:
        started = time.perf_counter()
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(self._follow(handler, turn, started))
        pressed: list[float] = []

        def cancel() -> None:
            pressed.append(time.perf_counter() - started)
            loop.call_soon_threadsafe(task.cancel)

        self._view = View()
        self._cancel, self.button.disabled = cancel, False
        clock = asyncio.ensure_future(self._tick(started))
        try:
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()
        finally:
            # Also when the cell itself is interrupted: nothing may run on behind a stopped cell.
            self._cancel, self.button.disabled = None, True
            for running in (task, clock):
                running.cancel()
            await asyncio.gather(task, clock, return_exceptions=True)
            if self._view.ended is None and not pressed:  # it was interrupted or it raised
                self._show(self._view.stop(time.perf_counter() - started), 0.0)
        if pressed and self._view.ended is None:
            self._view = self._view.stop(pressed[0])
        if self._whole:
            self._view = self._view.as_a_whole()
        self._show(self._view, time.perf_counter() - started)
        return self._view

    async def _follow(self, handler: Handler, turn: Turn, started: float) -> None:
        async with aclosing(handler(turn)) as events:
            async for event in events:
                self._view = self._view.after(event, time.perf_counter() - started)

    async def _tick(self, started: float) -> None:
        while True:
            self._show(self._view, time.perf_counter() - started)
            await asyncio.sleep(REFRESH_SECONDS)

    def _show(self, view: View, seconds: float) -> None:
        waiting = self._whole and view.ended is None
        self._chips.value = f'<div class="stream-chips">{"" if self._whole else view.chips_html()}</div>'
        body = '<span class="caret">waiting…</span>' if waiting and seconds else "" if waiting else view.body_html()
        self._text.value = f'<div class="stream-text" role="log" aria-live="polite">{body}</div>'
        times = f"{seconds:4.1f} s" if waiting or view.ended is None else view.times()
        self._times.value = f'<div class="stream-times">{times}</div>'


async def race(handler: Handler, turn: Turn) -> tuple[View, View]:
    """The same question twice, side by side: shown when it is whole, and shown as it comes. Returns both views."""
    whole, streamed = StreamPanel("Blocking, all at the end", whole=True), StreamPanel("Streaming, as it comes")
    display(SideBySide([whole, streamed]))
    async with asyncio.TaskGroup() as group:  # when one fails, the other stops too
        first, second = group.create_task(whole.run(handler, turn)), group.create_task(streamed.run(handler, turn))
    return first.result(), second.result()


class SideBySide(PlainText, ipywidgets.HBox):
    def __init__(self, panels: list[StreamPanel]) -> None:
        super().__init__(panels)
        self._panels = panels

    def __repr__(self) -> str:
        return "\n".join(map(repr, self._panels))


class FieldPanel(PlainText, ipywidgets.VBox):
    """A structured value on screen: a chip for each field as it lands, long texts folded away below them.

    `await panel.run(handler, turn)` shows a turn and returns its final Fields.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._chips, self._details = ipywidgets.HTML(), ipywidgets.HTML()
        heading = ipywidgets.HTML(f'{STYLE}<div class="stream-title">{html.escape(title)}</div>')
        super().__init__([heading, self._chips, self._details])
        self.layout.width = "100%"

    def __repr__(self) -> str:
        return f"[widget · {self._title} · run the cell to see it move]"

    async def run(self, handler: Handler, turn: Turn) -> Fields:
        started, fields = time.perf_counter(), Fields()
        async with aclosing(handler(turn)) as events:
            async for event in events:
                fields = fields.after(event, time.perf_counter() - started)
                self._show(fields)
        return fields

    def _show(self, fields: Fields) -> None:
        self._chips.value = f'<div class="stream-chips" role="log" aria-live="polite">{fields.chips_html()}</div>'
        if self._details.value != (details := fields.details_html()):  # else an opened one would close at every event
            self._details.value = details


class ConfirmationCard(PlainText, ipywidgets.VBox):
    """A question with Yes and No: whoever presses one decides, and the rest of the turn appears below.

    `go_on(approved)` gives the events of that rest, see `tool_use.resume`. `await card.decided()` waits for the press
    and returns the final View.
    """

    def __init__(self, waiting: ConfirmationRequired, go_on: Callable[[bool], AsyncGenerator[Event, None]]) -> None:
        self._question, self._go_on = waiting.question, go_on
        self._loop = asyncio.get_running_loop()
        self._rest: asyncio.Future[View] = self._loop.create_future()
        self._task: asyncio.Task[None] | None = None
        self.yes = ipywidgets.Button(description="Yes, do it", icon="check", button_style="primary")
        self.no = ipywidgets.Button(description="No", icon="times")
        self.yes.on_click(lambda _: self.decide(True))
        self.no.on_click(lambda _: self.decide(False))
        question = ipywidgets.HTML(f'{STYLE}<div class="stream-title">{html.escape(waiting.question)}</div>')
        self._text = ipywidgets.HTML()
        super().__init__([question, ipywidgets.HBox([self.yes, self.no]), self._text])
        self.layout.width = "100%"

    def __repr__(self) -> str:
        return f"[widget · {self._question} · Yes / No · run the cell to decide]"

    def decide(self, approved: bool) -> None:
        """Record the decision. Safe from any thread; only the first press counts."""
        self._loop.call_soon_threadsafe(self._start, approved)

    async def decided(self) -> View:
        return await asyncio.shield(self._rest)

    def _start(self, approved: bool) -> None:
        if self._task is None:
            self.yes.disabled = self.no.disabled = True
            self._task = self._loop.create_task(self._follow(approved))

    async def _follow(self, approved: bool) -> None:
        started, view = time.perf_counter(), View()
        self._text.value = f"<i>{'You said yes' if approved else 'You said no'}: one moment…</i>"
        try:
            async with aclosing(self._go_on(approved)) as events:
                async for event in events:
                    view = view.after(event, time.perf_counter() - started)
                    if view.text or view.failed:
                        self._text.value = f'<div class="stream-text" role="log">{view.body_html()}</div>'
        except Exception as error:
            self._text.value = f"<b>{html.escape(str(error))}</b>"
            self._rest.set_exception(error)
            self._rest.exception()  # looked at: it is on the screen, whether or not a cell waits for it
        else:
            self._rest.set_result(view)


class ProgressBar(PlainText, ipywidgets.HBox):
    """How far a job is. Call it with (done, all), as `Index.sync` does with its `progress`."""

    def __init__(self, title: str) -> None:
        self._title, self._done, self._all = title, 0, 0
        self.bar = ipywidgets.IntProgress(value=0, max=1, description=title, style={"description_width": "initial"})
        self._count = ipywidgets.Label("0")
        super().__init__([self.bar, self._count])

    def __call__(self, done: int, all: int) -> None:
        self._done, self._all = done, all
        self.bar.max, self.bar.value = max(all, 1), done
        self._count.value = f"{done} of {all}"

    def __repr__(self) -> str:
        """Where no widget can be shown, this line is what there is: show it once more after the job."""
        count = f"{self._done} of {self._all}" if self._all else "run the cell to see it move"
        return f"[progress · {self._title} · {count}]"
