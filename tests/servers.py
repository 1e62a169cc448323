"""Real servers on this machine, started by the tests that need them."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import mlflow
import pytest

from project import environment, wait_for

BUCKET = "lesions"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


@contextmanager
def mlflow_server(
    port: int, store: str, artifacts: str, *options: str, environ: dict[str, str] | None = None
) -> Iterator[subprocess.Popen]:
    """MLflow's server over a store and a place for files; the leader of its process group."""
    command = [
        *("mlflow", "server", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", store, "--artifacts-destination", artifacts),
        *options,
    ]
    with answering(command, port, environ=environ) as process:
        yield process


@contextmanager
def answering(
    command: list[str],
    port: int,
    folder: Path | None = None,
    environ: dict[str, str] | None = None,
) -> Iterator[subprocess.Popen]:
    """A server of MLflow's once it answers; the leader of its process group, killed at the end."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment() | (environ or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: answers(port) or process.poll() is not None)
        assert process.poll() is None, "the server has ended"
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def all_runs(address: str) -> list[mlflow.entities.Run]:
    """The runs in a store of MLflow."""
    client = mlflow.MlflowClient(address)
    found = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(found)) if found else []


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of an S3 server with one bucket; anyone with KEYS may use it."""
    moto = pytest.importorskip("moto.server", reason="needs moto[server]")

    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        s3_client(address).create_bucket(Bucket=BUCKET)
        yield address
    finally:
        server.stop()


def s3_client(address: str) -> Any:
    """boto3's client of such a server."""
    boto3 = pytest.importorskip("boto3", reason="needs boto3")
    keys = {name.lower(): value for name, value in KEYS.items()}
    return boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)


@contextmanager
def postgresql_server() -> Iterator[str]:
    """The address of a PostgreSQL database that did not exist."""
    pytest.importorskip("psycopg", reason="needs psycopg[binary]")
    places = [None, *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))]
    programs = [
        next(filter(None, (shutil.which(name, path=place) for place in places)), None)
        for name in ("initdb", "postgres")
    ]
    if None in programs:
        pytest.skip("needs PostgreSQL (Debian: apt-get install postgresql)")
    initdb, postgres = programs
    # PostgreSQL refuses to be run by root.
    user = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.chown(folder, user)
        data = folder / "data"
        subprocess.run(
            [initdb, "-A", "trust", "-U", "mlflow", data],
            user=user,
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        server = subprocess.Popen(
            [postgres, "-D", data, "-p", str(port), "-k", folder, "-h", "127.0.0.1"],
            user=user,
            cwd=folder,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(lambda: accepts(port))
            yield f"postgresql://mlflow@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def accepts(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False
