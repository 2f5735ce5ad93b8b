"""Run a coroutine up to its first wait; only if there is one, a Task goes on with it.

Most answers never wait, and a Task for each of them costs a sixth of a small answer.

Rule 1  asyncio.current_task() is a Task from the first line on, and stays the same one: a spare
        task stands by, counts as the current one, and goes on with the coroutine if it waits.
Rule 2  Each coroutine runs in a context of its own (PEP 567), as it would in a Task.
Rule 3  A spare task that somebody may remember (there is a new reference to it) retires.
Left out: names of tasks, and what is to be called when a task is done, if it never waited.
"""

import asyncio
from asyncio import CancelledError
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from sys import getrefcount
from typing import Any
from weakref import getweakrefcount

Work = Coroutine[Any, Any, None]


class Spare:
    """Hold a task that waits for a coroutine to go on with."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.slot: asyncio.Future[None] = loop.create_future()  # done: this one is not spare
        self.parked = False  # the task has begun to wait for it
        self.work: Work | None = None
        self.context: Context
        self.waits_for: asyncio.Future[Any] | None = None  # what `work` waits for; None: a turn
        self.error: BaseException | None = None  # what came before `work` could be told
        self.task = loop.create_task(self.stand_by())

    async def stand_by(self) -> None:
        self.parked = True
        try:
            await self.slot
        except CancelledError as error:  # perhaps in the first step: then it is meant for `work`
            if self.work is None:
                raise
            self.error = error
        if self.work is not None:
            await self

    def hand_over(self, work: Work | None, context: Context) -> None:
        """Let the task go on with `work`, or end if there is none."""
        self.work, self.context = work, context
        if not self.slot.done():
            self.slot.set_result(None)

    def __await__(self) -> Generator[Any, None, None]:
        """Step `work` in its own context, and yield what it waits for, until it ends."""
        assert self.work is not None
        work, run, future, error = self.work, self.context.run, self.waits_for, self.error
        if error is not None and future is not None and future.cancel():
            error = None  # it comes out of the future
        while True:
            try:
                if error is None:
                    yield future
            except BaseException as raised:
                error = raised
            try:
                future = run(work.send, None) if error is None else run(work.throw, error)
            except StopIteration:
                return
            error = None


class Starter:
    """Start coroutines on one loop; to be called by the loop, never within a task."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.spare = Spare(loop)

    def start(self, work: Work) -> asyncio.Task[None] | None:
        """Run `work` up to its first wait; return the Task that goes on, None if it has ended."""
        spare, loop = self.spare, self.loop
        if not spare.parked or spare.slot.done():
            if spare.slot.done():
                self.spare = Spare(loop)
            return loop.create_task(work)  # it has not begun when this returns
        task, context, ended = spare.task, copy_context(), False
        references, weak = getrefcount(task), getweakrefcount(task)
        _enter_task(loop, task)
        try:
            spare.waits_for = context.run(work.send, None)
        except StopIteration:
            ended = True
        finally:
            _leave_task(loop, task)
        remembered = getrefcount(task) != references or getweakrefcount(task) != weak
        if ended and not remembered and not spare.slot.done():
            return None
        self.spare = Spare(loop)
        spare.hand_over(None if ended else work, context)
        return None if ended else task
