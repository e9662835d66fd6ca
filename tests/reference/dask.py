"""A Dask cluster of processes that are none of ours."""

import os
import subprocess
import sys
import time

import pytest


def started(name, folder, *words):
    """A process of Dask's command `name`."""
    command = [sys.executable, "-m", f"distributed.cli.dask_{name}", *words]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "DASK_TEMPORARY_DIRECTORY": str(folder)}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


@pytest.fixture
def cluster(tmp_path):
    """(client, scheduler's process, worker's process): a real cluster of processes that are none of ours."""
    import distributed

    where = tmp_path / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(where)]
    scheduler = started("scheduler", tmp_path, *options)
    worker = started(
        "worker", tmp_path, "--scheduler-file", str(where), "--nthreads", "1", "--no-dashboard", "--nworkers", "2",
        "--host", "127.0.0.1",
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while not where.exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        with distributed.Client(scheduler_file=str(where), set_as_default=False, timeout=3) as client:
            yield client, scheduler, worker
    finally:
        for process in (worker, scheduler):
            process.kill()
        for process in (worker, scheduler):
            process.wait(30)
