"""`photogpt-worker demo`."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from tests.cli.commands import Running, has_ended, run
from tests.media import probe
from tests.unit.factories import ended, make_job, success
from worker.cli.local.demo import Show, _show_files
from worker.cli.local.demo_jobs import Plan, Run
from worker.cli.local.processes import free_port
from worker.cli.main import cli
from worker.domain.files import StoredFile
from worker.domain.job import Kind
from worker.sandbox.remote import SandboxProcess

CODECS = {".png": "png", ".mp4": "h264"}
"""What a file holds, by its suffix."""


def links_of(page: Path) -> set[str]:
    """Return what a page links to."""
    return set(re.findall(r'(?:href|src)="([^"]+)"', page.read_text()))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """`demo --to` with a path below a file names the option and starts nothing."""
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(cli, ["demo", "--to", str(tmp_path / "file" / "made")])
    assert result.exit_code == 2
    assert "--to" in result.stderr


PRODUCTION = {
    "PHOTOGPT_API_KEY": "real",
    "PHOTOGPT_API_PROXY_URL": "http://127.0.0.1:9",
    "PHOTOGPT_REDIS_URL": "redis://127.0.0.1:9/0",
    "PHOTOGPT_REDIS_CA_FILE": "/nowhere/ca.pem",
    "PHOTOGPT_NAMESPACE": "live",
    "PHOTOGPT_WEBHOOK_SCHEMES": "https",
    "PHOTOGPT_LOG_LEVEL": "ERROR",
    "CELERY_BROKER_URL": "redis://127.0.0.1:9/1",
}
"""Settings of another installation, none of which a demo can use."""


def test_all_kinds(tmp_path: Path) -> None:
    """`demo` in ASCII runs all kinds and saves what it made; it ignores production's settings and says so."""
    temporary, directory = tmp_path / "tmp", tmp_path / "project"
    temporary.mkdir()
    directory.mkdir()
    (directory / ".env").write_bytes(b"PHOTOGPT_CONCURRENCY=none\xff\n")
    env = {"PHOTOGPT_FLOWER_PORT": str(free_port()), "TMPDIR": str(temporary), "PYTHONIOENCODING": "ascii"}
    ended = run(PRODUCTION | env, "demo", "--to", "made", cwd=directory)
    folder = directory / "made"
    assert ended.returncode == 0, ended.stdout
    unused = ended.stdout.splitlines()[0]
    assert all(name in unused for name in (*PRODUCTION, ".env"))
    assert "Short durations: image 3 s" in ended.stdout
    assert (folder / "index.html").as_uri() in ended.stdout
    names = links_of(folder / "index.html")
    assert sorted(path.suffix for path in map(Path, names)) == [".mp4", *[".png"] * 4]
    assert all(f"  made/{name}  " in ended.stdout for name in names)
    for name in names:
        assert probe(str(folder / name))["streams"][0]["codec_name"] == CODECS[Path(name).suffix]
    assert "model demo-model is ready" in ended.stdout
    assert "All 7 jobs succeeded, and the signatures of all 7 webhooks were verified." in ended.stdout
    assert "\x1b" not in ended.stdout
    assert list(temporary.iterdir()) == []
    assert sorted(path.name for path in directory.iterdir()) == [".env", "made"]


def test_an_api_that_does_not_answer() -> None:
    """`demo --yes` ends before it starts anything if PhotoGPT does not answer."""
    env = {"PHOTOGPT_API_KEY": "real", "PHOTOGPT_BASE_URL": f"http://127.0.0.1:{free_port()}/api"}
    result = CliRunner().invoke(cli, ["demo", "--yes"], env=env)
    assert result.exit_code == 1
    assert "PhotoGPT cannot be reached" in result.stderr


@pytest.fixture
def api(sandbox: SandboxProcess) -> dict[str, str]:
    """Environment variables with which the demo uses a fast sandbox as if it were the real API."""
    sandbox.control.options(durations={"image": "0.3", "upscale": "0.3", "video": "0.3", "training": "0.3"})
    sandbox.control.model("mine")
    return {
        "PHOTOGPT_API_KEY": sandbox.key,
        "PHOTOGPT_BASE_URL": sandbox.base_url,
        "PHOTOGPT_JOB_POLL_INTERVAL_S": "0.3",
        "PHOTOGPT_MODEL_POLL_INTERVAL_S": "0.3",
        "PHOTOGPT_FLOWER_PORT": str(free_port()),
    }


def test_the_real_api_and_keep(api: dict[str, str], tmp_path: Path) -> None:
    """`demo --yes --model --keep` fits 80 columns, runs all kinds with the real API, and runs on until Ctrl-C."""
    options = ("--yes", "--model", "mine", "--to", str(tmp_path / "made"), "--keep")
    running = Running(tmp_path / "log", api | {"COLUMNS": "80"}, "demo", *options)
    try:
        text = running.wait_for_output("Ctrl-C ends everything.")
        assert [line for line in text.splitlines() if len(line) > 80 and "/" not in line] == []
        assert re.search(r"during the demo: http://127\.0\.0\.1:\d+$", text, re.MULTILINE)
        children = running.children()
        assert "spends credits" in text
        assert "All 4 jobs succeeded" in text
        assert running.end_with(signal.SIGINT) == 0
        assert all(has_ended(pid) for pid in children)
    finally:
        running.child.stop()


def test_a_file_that_is_not_stored(tmp_path: Path) -> None:
    """`demo` names a file that was not stored; the page shows the others, with text from outside escaped."""
    plan = Plan("image", ((Kind.IMAGE, {"prompt": "<b>two</b> boats"}),))
    file = StoredFile(key="1.png", bytes=9, sha256="", content_type="image/png", source_url="")
    result = success(files=(file,), files_error="image 2: 127.0.0.1 answered 403")
    run = Run(plan=plan, ids=["job-1"], outcomes=[ended(make_job(id="job-1"), result, at=2.0)])
    out = Console(record=True, width=80)
    assert not _show_files([run], Show((), tmp_path, Path("made"), keep=False), out)
    printed = out.export_text()
    assert "  made/1.png  image, 0 kB" in printed
    assert "Not stored: image 2: 127.0.0.1 answered 403" in printed
    page = (tmp_path / "index.html").read_text()
    assert "&lt;b&gt;two&lt;/b&gt; boats" in page
    assert "<b>two" not in page


def test_a_job_that_fails(api: dict[str, str], sandbox: SandboxProcess, tmp_path: Path) -> None:
    """`demo` names a job that failed, prints the end of the worker's log, and ends with exit code 1."""
    sandbox.control.faults({"match": "triggerVideo*", "action": {"directive": {"error": "too dark"}}})
    ended = run(api, "demo", "--yes", "--to", str(tmp_path))
    assert ended.returncode == 1
    assert "Not succeeded: video" in ended.stdout
    assert "too dark" in ended.stdout
