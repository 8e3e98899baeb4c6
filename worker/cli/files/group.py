"""`photogpt-worker files`: the group of commands about stored images and videos."""

from __future__ import annotations

import click

from worker.cli.help import Entry, LazyGroup

FILES = {
    "list": Entry("worker.cli.files.stored:files_list", "List the stored files of jobs."),
    "get": Entry("worker.cli.files.stored:files_get", "Fetch the stored files of a job into a folder."),
}
"""Every command of the group."""


@click.group("files", cls=LazyGroup, entries=FILES)
def files() -> None:
    """List and fetch the images and videos that the workers stored with PHOTOGPT_OUTPUTS.

    To store again what could not be stored: photogpt-worker replay --files JOB_ID.

    Example:
      photogpt-worker files list
      photogpt-worker files get 3f6c… --to pictures

    Settings: PHOTOGPT_REDIS_URL, PHOTOGPT_OUTPUTS.
    """
