"""A Ray cluster of this computer in processes of its own.

Its ports are given: the parts of a cluster then do not wait for each other's, which on a busy
machine takes longer than they are ready to wait.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from sonotype.archive.ray_engine import SETTINGS

PORTS = ("port", "dashboard-agent-grpc-port", "dashboard-agent-listen-port",
         "runtime-env-agent-port", "metrics-export-port", "ray-client-server-port")  # fmt: skip


def free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


@contextmanager
def ray_cluster(processors: int, modules: list[str]) -> Iterator[str]:
    """The address of a cluster; its actors find modules in some folders."""
    os.environ["RAY_AUTH_MODE"] = "disabled"  # of this cluster on loopback, and of its drivers
    from ray.util import get_node_ip_address

    host = get_node_ip_address()
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    environment = os.environ | SETTINGS
    environment["PYTHONPATH"] = os.pathsep.join([*modules, os.environ.get("PYTHONPATH", "")])
    start = "import sys; from ray.scripts.scripts import main; sys.exit(main())"
    process = subprocess.Popen(
        [
            sys.executable, "-c", start, "start", "--head", "--block", "--num-cpus",
            str(processors), "--object-store-memory", str(150 << 20), "--disable-usage-stats",
            "--include-dashboard=false",  "127.0.0.1",
            *(f"--{name}={port}" for name, port in ports.items()),
        ],
        env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(240):
            with suppress(OSError), socket.create_connection((host, ports["port"])):
                break
            assert process.poll() is None, "the cluster did not start"
            time.sleep(0.5)
        yield f"{host}:{ports['port']}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
