"""One connection to Redis on its unix socket: commands in, replies out, nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

Argument = bytes | str | int | float


class RedisCut(Exception):
    """Redis cannot be reached, or the connection ended."""


class RedisError(Exception):
    """Redis refused a command."""


class RedisWire:
    """Not shared between tasks."""

    def __init__(self, socket_path: str) -> None:
        self._path = socket_path
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def call(self, *command: Argument) -> Any:
        """The reply to one command. Raises RedisCut or RedisError."""
        return (await self.pipeline(command))[0]

    async def transaction(self, *commands: tuple[Argument, ...]) -> Any:
        """The replies to commands that Redis runs as one, as kombu's pipelines do. Raises RedisCut or RedisError."""
        return (await self.pipeline(("MULTI",), *commands, ("EXEC",)))[-1]

    async def pipeline(self, *commands: tuple[Argument, ...]) -> list[Any]:
        """The replies to commands sent together. Raises RedisCut or RedisError."""
        try:
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_unix_connection(self._path)
            self._writer.write(b"".join(_encoded(command) for command in commands))
            return [await self._reply() for _ in commands]
        except (OSError, EOFError, asyncio.IncompleteReadError) as error:
            self.cut()
            raise RedisCut(repr(error)) from error
        except asyncio.CancelledError:
            self.cut()
            raise

    def cut(self) -> None:
        """End the connection without a word."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def _reply(self) -> Any:
        assert self._reader
        line = (await self._reader.readuntil(b"\r\n"))[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            return None if rest == b"-1" else (await self._reader.readexactly(int(rest) + 2))[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [await self._reply() for _ in range(int(rest))]
        if kind == b"-":
            raise RedisError(rest.decode())
        return int(rest) if kind == b":" else rest


def _encoded(command: tuple[Argument, ...]) -> bytes:
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
    return b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)])
