"""Small UDP packets as fast as one process sends them: `python -m tests.benchmarks.flood NETNS INUM ADDRESS PORT N`."""

from __future__ import annotations

import os
import socket
import sys
import time

from tracer.netns import Netns, enter

PAYLOAD = bytes(32)


def main(path: str, inum: str, address: str, port: str, count: str) -> None:
    """Send `count` packets from the namespace at `path`, on the first processor, and print the packets a second."""
    os.sched_setaffinity(0, {0})
    enter(Netns("flood", path, int(inum)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((address, int(port)))
        send = sender.send
        start = time.perf_counter()
        for _ in range(int(count)):
            send(PAYLOAD)
        print(int(count) / (time.perf_counter() - start))


if __name__ == "__main__":
    main(*sys.argv[1:])
