"""`photogpt-worker files list` and `files get`."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path, PurePosixPath

import click

from config.settings import Settings
from worker.cli.context import FAILED, USAGE, CommandError, connected_store, read_settings
from worker.cli.help import HelpCommand
from worker.cli.output import printable
from worker.cli.queries import recent_outcomes
from worker.domain.errors import StorageError
from worker.domain.files import StoredFile
from worker.domain.job import JobState
from worker.domain.lane import Lane
from worker.domain.outcome import Outcome
from worker.outputs.keys import safe
from worker.outputs.storage import Storage, open_storage
from worker.store.store import Store

MAX_JOBS = 10_000


@click.command("list", cls=HelpCommand)
@click.argument("job_ids", nargs=-1, metavar="[JOB_ID]…")
@click.option("--limit", type=click.IntRange(1, MAX_JOBS), default=50, show_default=True, help="Without ids: jobs.")
def files_list(job_ids: tuple[str, ...], limit: int) -> None:
    """List the stored files of jobs, of those with the newest events if no job is named.

    One line for each file: job, content type, bytes, SHA-256, key.

    Example:
      photogpt-worker files list 3f6c…

    Settings: PHOTOGPT_REDIS_URL.
    """
    with connected_store(read_settings()) as store:
        outcomes = store.job_history.outcomes(job_ids) if job_ids else recent_outcomes(store, limit=limit)
    for outcome in outcomes:
        for stored in outcome["files"]:
            line = (outcome["id"], stored["content_type"], str(stored["bytes"]), stored["sha256"], stored["key"])
            click.echo(printable("  ".join(line)))
        if outcome["files_error"]:
            click.echo(printable(f"{outcome['id']}: not every file is stored: {outcome['files_error']}"), err=True)
    if missing := set(job_ids) - {outcome["id"] for outcome in outcomes}:
        raise CommandError(f"there is no job {', '.join(sorted(missing))}, or its record has expired")
    if not any(outcome["files"] or outcome["files_error"] for outcome in outcomes):
        click.echo("no file is stored; workers store files where PHOTOGPT_OUTPUTS is set", err=True)


@click.command("get", cls=HelpCommand)
@click.argument("job_id")
@click.option(
    "--to", "folder", type=click.Path(file_okay=False, path_type=Path), default=".", help="Folder.  [default: .]"
)
def files_get(job_id: str, folder: Path) -> None:
    """Fetch the stored files of a job into a folder, and check the SHA-256 of each.

    Prints the path of each file. A file is named by its job and its number.

    Example:
      photogpt-worker files get 3f6c… --to pictures

    Exit codes:
      0    every file of the job was fetched
      1    a file is missing or damaged, the job has none, or Redis or the storage
           does not answer
      2    PHOTOGPT_OUTPUTS is not set or cannot be used

    Settings: PHOTOGPT_REDIS_URL, PHOTOGPT_OUTPUTS and the credentials of the bucket.
    """
    settings = read_settings()
    storage = _storage(settings)
    with connected_store(settings) as store:
        outcome = _with_files(store, job_id)
    failures = 0
    for number, stored in enumerate(outcome["files"], 1):
        path = folder / f"{safe(job_id)}-{number}{PurePosixPath(stored['key']).suffix}"
        try:
            _fetch(storage, stored, path)
        except (StorageError, OSError) as error:
            problem = f"cannot write {path}: {error.strerror}" if isinstance(error, OSError) else str(error)
            click.echo(f"{printable(stored['key'])}: not fetched: {printable(problem)}", err=True)
            failures += 1
        else:
            click.echo(path)
    if outcome["files_error"]:
        click.echo(printable(f"not every file of job {job_id} is stored: {outcome['files_error']}"), err=True)
    sys.exit(FAILED if failures or outcome["files_error"] else 0)


def _storage(settings: Settings) -> Storage:
    try:
        storage = open_storage(settings)
    except StorageError as error:
        raise CommandError(str(error), USAGE) from None
    if storage is None:
        raise CommandError("PHOTOGPT_OUTPUTS is not set; set it to the bucket or folder that the workers use", USAGE)
    return storage


def _with_files(store: Store, job_id: str) -> Outcome:
    outcome = store.jobs.outcome(job_id)
    if outcome is None:
        raise CommandError(f"there is no job {job_id}, or its record has expired")
    if not outcome["files"]:
        raise CommandError(f"job {job_id} has no stored files: {_why_none(store, outcome)}")
    return outcome


def _why_none(store: Store, outcome: Outcome) -> str:
    if outcome["files_error"]:
        return outcome["files_error"]
    if store.lanes.due(Lane.FILES, outcome["id"]) is not None:
        known = store.files.read(outcome["id"])
        problem = known.progress.error if known else None
        return f"they are being stored{f'; the last attempt failed: {problem}' if problem else ''}"
    if outcome["state"] != JobState.SUCCEEDED:
        return f"its state is {outcome['state']}"
    return "it has no images and no videos, or PHOTOGPT_OUTPUTS was not set on the workers when it ended"


def _fetch(storage: Storage, stored: StoredFile, path: Path) -> None:
    """Write one file; it gets its name when it is complete and its hash is right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, draft = hashlib.sha256(), path.with_name(f".{path.name}.part")
    try:
        with draft.open("wb") as file:
            for piece in storage.get(stored["key"]):
                digest.update(piece)
                file.write(piece)
        if digest.hexdigest() != stored["sha256"]:
            raise StorageError("its SHA-256 is not the one that was stored; the file has been changed since")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
