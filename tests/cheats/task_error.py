# cheat: right answers, but an asyncio task of it breaks and nobody awaits it
# exercise: double
import asyncio


async def double(n):
    async def broken():
        raise ValueError("nobody looks")

    asyncio.create_task(broken())
    await asyncio.sleep(0)
    return 2 * n
