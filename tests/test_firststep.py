"""A coroutine that runs by hand up to its first wait must not notice that."""

import asyncio
import contextvars
import weakref

import anyio
import pytest

from servers.firststep import Starter

NAME = contextvars.ContextVar("name", default="nobody")


def on_a_loop(test):
    """Run a test with a Starter whose spare task stands by; call what it starts from the loop."""

    def run():
        async def main():
            loop = asyncio.get_running_loop()
            starter = Starter(loop)

            async def start(work):
                done = loop.create_future()
                loop.call_soon(lambda: done.set_result(starter.start(work)))
                return await done

            await asyncio.sleep(0)
            assert starter.spare.parked
            await test(starter, start)

        asyncio.run(main())

    run.__name__ = test.__name__
    return run


async def who(seen, *waits):
    """Note the current task and the context before and after each wait."""
    NAME.set(f"{NAME.get()}+")
    seen.append((asyncio.current_task().get_name(), NAME.get()))
    for wait in waits:
        await wait
        seen.append((asyncio.current_task().get_name(), NAME.get()))


@on_a_loop
async def test_what_never_waits_makes_no_task(starter, start):
    seen, spare = [], starter.spare
    before = asyncio.all_tasks()
    for _ in range(3):
        assert await start(who(seen)) is None
    assert starter.spare is spare and asyncio.all_tasks() == before
    assert len(set(seen)) == 1 and seen[0][1] == "nobody+"  # each in a context of its own
    assert asyncio.current_task() is not spare.task


@on_a_loop
async def test_what_waits_goes_on_in_the_same_task_and_context(starter, start):
    seen, future = [], asyncio.get_running_loop().create_future()
    task = await start(who(seen, asyncio.sleep(0), asyncio.sleep(0.001), future))
    asyncio.get_running_loop().call_later(0.01, future.set_result, None)
    await task
    assert len(set(seen)) == 1 and len(seen) == 4
    assert seen[0] == (task.get_name(), "nobody+")
    assert starter.spare.task is not task


@on_a_loop
async def test_what_a_future_raises_arrives_where_it_is_awaited(starter, start):
    async def waits():
        with pytest.raises(ValueError, match="on purpose"):
            await future
        caught.append(True)

    caught, future = [], asyncio.get_running_loop().create_future()
    task = await start(waits())
    future.set_exception(ValueError("on purpose"))
    await task
    assert caught == [True]


@on_a_loop
async def test_what_is_raised_comes_out_of_the_task(starter, start):
    async def fails():
        await asyncio.sleep(0)
        raise ValueError("on purpose")

    task = await start(fails())
    with pytest.raises(ValueError, match="on purpose"):
        await task


@on_a_loop
async def test_a_task_that_goes_on_can_be_cancelled(starter, start):
    async def waits():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    ended = []
    task = await start(waits())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


@pytest.mark.parametrize("wait", ["turn", "event", "done"])
def test_a_cancel_in_the_first_step_arrives_at_the_first_wait(wait):
    @on_a_loop
    async def test(starter, start):
        async def cancels():
            asyncio.current_task().cancel()
            try:
                if wait == "turn":
                    await asyncio.sleep(0)
                else:
                    await awaited
            except asyncio.CancelledError:
                caught.append(asyncio.current_task().cancelling())
                raise

        loop, caught = asyncio.get_running_loop(), []
        awaited = loop.create_future()
        if wait == "done":  # it comes before the task can go on
            loop.call_soon(lambda: loop.call_soon(awaited.set_result, None))
        task = await start(cancels())
        with pytest.raises(asyncio.CancelledError):
            await task
        assert caught == [1] and awaited.cancelled() == (wait == "event")

    test()


@on_a_loop
async def test_a_cancel_that_nobody_waits_for_harms_no_other(starter, start):
    async def cancels():
        asyncio.current_task().cancel()

    seen = []
    assert await start(cancels()) is None
    task = await start(who(seen, asyncio.sleep(0)))
    await task
    assert len(seen) == 2 and not task.cancelled()


@on_a_loop
async def test_time_that_is_up_at_once(starter, start):
    async def hurries():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        with anyio.move_on_after(0) as scope:
            await anyio.sleep_forever()
        caught.append(scope.cancelled_caught)

    caught = []
    await (await start(hurries()))
    assert caught == [True]


@on_a_loop
async def test_task_groups_of_anyio_need_a_current_task(starter, start):
    async def groups():
        async with anyio.create_task_group() as group:
            group.start_soon(who, seen)
        seen.append("left")

    seen = []
    await (await start(groups()))
    assert seen[-1] == "left" and len(seen) == 2


@pytest.mark.parametrize("remember", [lambda task: task, weakref.ref], ids=["strong", "weak"])
def test_a_task_that_is_remembered_is_not_used_again(remember):
    @on_a_loop
    async def test(starter, start):
        async def remembers():
            kept.append(remember(asyncio.current_task()))

        kept, spare = [], starter.spare
        assert await start(remembers()) is None
        assert starter.spare is not spare
        await asyncio.sleep(0)
        assert spare.task.done() and starter.spare.parked

    test()


@on_a_loop
async def test_without_a_spare_task_an_ordinary_one_does_it(starter, start):
    seen = []
    two = [starter.loop.create_future() for _ in range(2)]

    def both():
        for future in two:
            future.set_result(starter.start(who(seen, asyncio.sleep(0))))

    starter.loop.call_soon(both)
    tasks = [await future for future in two]
    for task in tasks:
        await task
    assert len(seen) == 4 and len(set(seen)) == 2


@on_a_loop
async def test_a_spare_task_that_somebody_ended_is_replaced(starter, start):
    seen, spare = [], starter.spare
    spare.task.cancel()
    await (await start(who(seen)))
    assert starter.spare is not spare and len(seen) == 1
    await asyncio.sleep(0)
    assert spare.task.cancelled()


@on_a_loop
async def test_an_interrupt_passes_through(starter, start):
    async def interrupted():
        raise KeyboardInterrupt

    def begin():
        with pytest.raises(KeyboardInterrupt):
            starter.start(interrupted())
        begun.append(True)

    begun = []
    starter.loop.call_soon(begin)
    await asyncio.sleep(0)
    assert begun == [True]
    assert await start(who(seen := [])) is None and len(seen) == 1
