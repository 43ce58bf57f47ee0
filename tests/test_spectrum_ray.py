"""Ray: the same bytes as without it, also when a worker is killed in the middle."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from spectra import job
from test_spectrum_shards import contents

from interp.errors import BadInputError
from interp.spectrum import run

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'interp[ray]'")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    paths = {"PYTHONPATH": str(Path(__file__).parent), "TINY_WAIT": "0.1"}
    ray.init(
        num_cpus=2,
        log_to_driver=False,
        include_dashboard=False,
        object_store_memory=100_000_000,
        runtime_env={"env_vars": paths},
    )
    yield
    ray.shutdown()


def test_ray_gives_the_same_bytes_also_when_a_worker_is_killed(tmp_path: Path, cluster: None) -> None:
    from interp.extras import ray_engine

    run(job(), tmp_path / "plain")
    folder, killed = tmp_path / "ray", []

    def kill_one() -> None:
        while not list(folder.glob("*.spectrum")):
            time.sleep(0.01)
        victims = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if is_actor(pid)]
        os.kill(victims[0], signal.SIGKILL)
        killed.append(victims[0])

    thread = Thread(target=kill_one)
    thread.start()
    run(job(), folder, engine=ray_engine.ray_actors(2))
    thread.join()
    assert killed
    assert contents(folder) == contents(tmp_path / "plain")


def is_actor(pid: int) -> bool:
    try:
        return b"ray::_Actor" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_a_mistake_in_a_shard_is_the_users_own_error(tmp_path: Path, cluster: None) -> None:
    from interp.extras import ray_engine

    with pytest.raises(Exception, match="tuple, not one tensor"):
        run(job(layers=("pair",)), tmp_path, engine=ray_engine.ray_actors(1))


def test_counts_are_checked() -> None:
    from interp.extras import ray_engine

    with pytest.raises(BadInputError, match="At least one"):
        ray_engine.ray_actors(0)
