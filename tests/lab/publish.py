"""A door from the machine into a lab: connections to a local port come out in the lab.

Run as `python3 -m tests.lab.publish NAME LAB_PORT MACHINE_PORT` by `Lab.publish`.
It listens in the machine's network, then moves into the lab's: the socket that it
has stays where it was made, those that it makes from then on are inside.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

from tests.lab import kernel
from tests.lab.state import ProcessId, State


def main(name: str, lab_port: int, machine_port: int) -> None:
    state = State(name)
    keeper = state.processes()["keeper"]
    # Not simply where this process is: who asks for a door may be in the lab already.
    kernel.enter_network(state.folder / "machine-network")
    door = _listen(machine_port)
    (state.cgroup / "keeper" / "cgroup.procs").write_text(str(os.getpid()), encoding="utf-8")
    state.record(f"publish-{machine_port}", ProcessId.of(os.getpid()))
    watch = os.pidfd_open(keeper.pid)
    kernel.enter_network(Path(f"/proc/{keeper.pid}/ns/net"))
    print("ready", flush=True)
    asyncio.run(_forward(door, lab_port, watch))


def _listen(port: int) -> socket.socket:
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind(("127.0.0.1", port))
    except OSError as error:
        print(f"port {port} of this machine: {error.strerror}", flush=True)
        raise SystemExit(1) from error
    door.listen()
    return door


async def _forward(door: socket.socket, port: int, keeper: int) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(keeper, ended.set)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))

    async with await asyncio.start_server(serve, sock=door):
        await ended.wait()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
