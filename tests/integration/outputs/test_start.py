"""A storage that cannot be used is named in one sentence, by `ping` and at the start of a worker."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from config.settings import load_settings
from tests.integration.outputs.s3 import CREDENTIALS, S3Server
from worker.cli.main import cli
from worker.domain.errors import StorageError
from worker.outputs.folder import UNFINISHED, Folder
from worker.outputs.storage import check_storage, open_storage


def failure(url: str) -> str:
    """Return why files cannot be stored at a URL."""
    try:
        storage = open_storage(load_settings(outputs=url))
        assert storage is not None
        check_storage(storage)
    except StorageError as error:
        return str(error)
    pytest.fail(f"a file can be stored at {url}")


@pytest.fixture
def bucket_env(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of the S3 server, in this process."""
    for name, value in {"AWS_ENDPOINT_URL": s3.url, **CREDENTIALS}.items():
        monkeypatch.setenv(name, value)


def test_a_bucket_that_does_not_exist(bucket_env: None) -> None:
    """The check of a bucket that does not exist says so."""
    assert "NoSuchBucket" in failure("s3://no-such-bucket/x")


def test_a_server_that_does_not_answer(bucket_env: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of a server that refuses connections ends within a moment, in one line."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    said = failure("s3://outputs/x")
    assert said.startswith("cannot store files in s3://outputs/x: ")
    assert said.endswith("(Connection refused)")
    assert ".photogpt-check" not in said
    assert "\n" not in said


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """The check of a folder below a file says that it is no folder."""
    (tmp_path / "file").touch()
    assert failure((tmp_path / "file" / "kept").as_uri()).endswith("Not a directory")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without obstore, a bucket is refused with what to install, and a folder works."""
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.delitem(sys.modules, "worker.outputs.bucket", raising=False)
    assert "pip install 'photogpt-worker[outputs]'" in failure("s3://outputs/x")
    assert open_storage(load_settings(outputs="file:///srv/outputs")) is not None


def test_ping_checks_the_storage(worker_env: dict[str, str], tmp_path: Path) -> None:
    """`ping` ends with 0 if a file can be stored, leaves none, and ends with 1 if none can."""
    kept = tmp_path / "kept"
    done = CliRunner().invoke(cli, ["ping"], env=worker_env | {"PHOTOGPT_OUTPUTS": kept.as_uri()})
    assert (done.exit_code, "files can be stored" in done.output) == (0, True), done.output
    assert not [path for path in kept.rglob("*") if path.is_file()]
    (tmp_path / "file").touch()
    done = CliRunner().invoke(cli, ["ping"], env=worker_env | {"PHOTOGPT_OUTPUTS": (tmp_path / "file").as_uri()})
    assert (done.exit_code, "Not a directory" in " ".join(done.output.split())) == (1, True), done.output


def test_a_folder_holds_whole_files_only(tmp_path: Path) -> None:
    """If a transfer raises, no file is there; what a killed worker left of the same file goes with the next attempt."""
    folder = Folder(tmp_path)
    folder.put("a/1.png", iter([b"first"]), "image/png")
    draft = next((tmp_path / UNFINISHED).parent.glob(UNFINISHED)) / "x"
    draft.touch()  # of another file

    def broken() -> object:
        yield b"half"
        raise StorageError("broken")

    with pytest.raises(StorageError):
        folder.put("a/1.png", broken(), "image/png")  # type: ignore[arg-type]
    assert b"".join(folder.get("a/1.png")) == b"first"
    assert [path.name for path in (tmp_path / UNFINISHED).iterdir()] == ["x"]


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/x", "a//b", ".", ""])
def test_no_key_leaves_the_folder(tmp_path: Path, key: str) -> None:
    """A key that would lie outside of the folder is refused."""
    with pytest.raises(StorageError, match="is no key of a file"):
        Folder(tmp_path).put(key, iter([b"x"]), "image/png")
