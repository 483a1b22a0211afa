from collections.abc import Iterator
from copy import copy
from pathlib import Path

import pytest
from support.forks import Forks
from support.s3 import BUCKET, S3

from broadcaster.cluster.bucket import Bucket
from broadcaster.cluster.storage import Storage


@pytest.fixture(scope="session")
def _s3() -> Iterator[S3]:
    with S3() as server:
        yield server


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """The program, Dask, and what speaks to S3, imported once for all processes."""
    with Forks() as server:
        yield server


@pytest.fixture
def s3(_s3: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """Amazon's S3, which this process finds too."""
    for name, value in _s3.environment.items():
        monkeypatch.setenv(name, value)
    return _s3


@pytest.fixture
def disk(tmp_path: Path) -> Storage:
    """A shared directory on a disk that all machines have."""
    return Storage.open(f"file://{tmp_path}/shared")


def _opened(server: S3) -> Bucket:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        bucket = Bucket("s3", BUCKET)
        bucket.exists("nothing")  # it reads the environment when it is asked first
        return bucket


@pytest.fixture(scope="session")
def _buckets(_s3: S3) -> tuple[Bucket, Bucket]:
    """The bucket as two processes have it: to open one costs more than most tests."""
    return _opened(_s3), _opened(_s3)


def _beneath(bucket: Bucket, name: str) -> Storage:
    place = copy(bucket)
    place._prefix = f"{BUCKET}/{name}"
    return Storage(f"s3://{BUCKET}/{name}", place)


@pytest.fixture(params=["file", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A shared directory of either kind, with nothing in it."""
    if request.param == "file":
        return Storage.open(f"file://{tmp_path}/shared")
    return _beneath(request.getfixturevalue("_buckets")[0], tmp_path.name)


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest, storage: Storage, tmp_path: Path) -> Storage:
    """What another process has in its hands of ``storage``."""
    if storage.url.startswith("file://"):
        return Storage.open(storage.url)
    return _beneath(request.getfixturevalue("_buckets")[1], tmp_path.name)
