"""Singleflight: the same question asked many times at once is one call to the model.

The first to ask starts a flight, the others read along from its first event on. The flight belongs to none of them: it
ends early only when its last reader has left. What it raises is raised to every reader.

One process and one event loop: two processes that are asked the same at once make two calls.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from .events import Event


class Flight:
    """A run of a handler that several requests read. Each event `is_for_one` is for whoever started it.

    Once whoever started it has left, it goes no further than the first event that is for that one alone.
    """

    def __init__(
        self, run: AsyncGenerator[Event, None], is_for_one: Callable[[Event], bool], forget: Callable[[], None]
    ) -> None:
        self._heard: list[Event] = []
        self._readers, self._starter_left, self._over = 0, False, False
        self._error: BaseException | None = None
        self._more = asyncio.Event()
        self._is_for_one, self._forget = is_for_one, forget
        self._task = asyncio.create_task(self._fly(run))

    async def _fly(self, run: AsyncGenerator[Event, None]) -> None:
        try:
            async with aclosing(run) as events:
                async for event in events:
                    self._tell(event)
                    if self._starter_left and self._is_for_one(event):
                        return
        except BaseException as error:
            self._error = error
            if not isinstance(error, Exception):
                raise
        finally:
            self._over = True
            self._forget()
            self._more.set()

    def _tell(self, event: Event) -> None:
        self._heard.append(event)
        self._more.set()
        self._more = asyncio.Event()

    async def read(self, starter: bool) -> AsyncGenerator[Event, None]:
        """All events from the first one on. Raises what the run raises."""
        self._readers += 1
        place = 0
        try:
            while True:
                while place < len(self._heard):
                    place += 1
                    yield self._heard[place - 1]
                if self._over:
                    break
                await self._more.wait()
            if self._error is not None:
                raise self._error
        finally:
            self._readers -= 1
            self._starter_left = self._starter_left or starter
            if not self._readers and not self._over:
                self._forget()  # before anything is awaited: who asks now must start anew
                self._task.cancel()
                await asyncio.wait({self._task})


class Flights:
    """The flights in the air, by key."""

    def __init__(self, is_for_one: Callable[[Event], bool]) -> None:
        self._is_for_one = is_for_one
        self._flying: dict[tuple[asyncio.AbstractEventLoop, str], Flight] = {}

    def board(self, key: str, start: Callable[[], AsyncGenerator[Event, None]]) -> tuple[Flight, bool]:
        """The flight of `key`, begun with `start()` where there is none; and whether it was begun now."""
        place = (asyncio.get_running_loop(), key)
        if place in self._flying:
            return self._flying[place], False
        flight = Flight(start(), self._is_for_one, lambda: self._land(place, flight))
        self._flying[place] = flight
        return flight, True

    def _land(self, place: tuple[asyncio.AbstractEventLoop, str], flight: Flight) -> None:
        if self._flying.get(place) is flight:
            del self._flying[place]
