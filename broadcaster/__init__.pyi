from broadcaster.job.load import load_job as load_job
from broadcaster.library import plan as plan
from broadcaster.library import run as run
from broadcaster.store.manifest import read_manifest as read_manifest

__all__ = ["load_job", "plan", "read_manifest", "run"]
