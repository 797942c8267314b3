"""A Ray cluster of this computer in processes of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from started_ranks import free_port

from sonotype.archive.ray_engine import SETTINGS

TRIES = 8
"""On a busy machine a part of a cluster may not be ready in the time that the others wait for it;
then all of them end."""


def light_environment(modules: list[str]) -> dict[str, str]:
    """The environment of a process that uses Ray; it finds modules in some folders."""
    light = str(Path(__file__).parent / "light_imports")
    paths = [*modules, light, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@contextmanager
def ray_cluster(processors: int, modules: list[str]) -> Iterator[str]:
    """The address of a cluster; its actors find modules in some folders."""
    os.environ["RAY_AUTH_MODE"] = "disabled"  # of this cluster, and of its drivers
    environment = light_environment(modules) | SETTINGS
    from ray.util import get_node_ip_address

    for _ in range(TRIES):
        address = f"{get_node_ip_address()}:{free_port()}"
        process = start(processors, address, environment)
        try:
            if is_ready(process, address):
                yield address
                return
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    raise AssertionError("the cluster did not start")


def start(processors: int, address: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    code = "import sys; from ray.scripts.scripts import main; sys.exit(main())"
    return subprocess.Popen(
        [
            sys.executable, "-c", code, "start", "--head", "--block", "--disable-usage-stats",
            f"--num-cpus={processors}", f"--object-store-memory={150 << 20}",
            "--include-dashboard=false", f"--port={address.partition(':')[2]}",
        ],
        env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def is_ready(process: subprocess.Popen[bytes], address: str) -> bool:
    """Wait until the cluster has a node, or ends."""
    from ray._raylet import GcsClient

    host, _, port = address.partition(":")
    end = time.monotonic() + 90
    while process.poll() is None and time.monotonic() < end:
        with suppress(OSError):
            socket.create_connection((host, int(port))).close()
            with suppress(Exception):
                if GcsClient(address=address).get_all_node_info():
                    return True
        time.sleep(0.5)
    return False
