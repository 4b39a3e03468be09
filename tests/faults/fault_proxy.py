"""A proxy on loopback that breaks some of the requests that pass through it."""

import asyncio
import random
import threading

METHODS = (b"GET ", b"PUT ", b"HEAD ", b"POST ", b"DELETE ")
BUSY = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class FaultProxy:
    """Forwards HTTP to a port of 127.0.0.1; a share of the requests is cut off, stalls or is answered with 503.

    Attributes
    ----------
    port : where it listens
    broken, passed : requests so far
    away : while it is set, nothing behind the proxy can be reached
    """

    def __init__(self, target: int, share: float, seed: int = 0, stall_s: float = 2.0) -> None:
        self.target, self.share, self.stall_s = target, share, stall_s
        self.random = random.Random(seed)
        self.broken = self.passed = 0
        self.away = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self) -> "FaultProxy":
        self.thread.start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.server = asyncio.run_coroutine_threadsafe(start, self.loop).result(10)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *error: object) -> None:
        async def stop() -> None:
            self.server.close()
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        answers = asyncio.create_task(self._pump(there, writer))
        try:
            while data := await reader.read(2**16):
                if self.away.is_set():
                    self.broken += 1
                    return
                if data.startswith(METHODS):
                    if self.random.random() < self.share:
                        self.broken += 1
                        await self._break(writer)
                        return
                    self.passed += 1
                back.write(data)
                await back.drain()
        except ConnectionError:
            return
        finally:
            answers.cancel()
            for side in (writer, back):
                side.close()

    async def _break(self, writer: asyncio.StreamWriter) -> None:
        kind = self.random.choice(("cut", "stall", "busy"))
        if kind == "stall":
            await asyncio.sleep(self.stall_s)
        if kind == "busy":
            writer.write(BUSY)
            await writer.drain()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(2**16):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()
