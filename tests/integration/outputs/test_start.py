"""A storage that cannot be used is named in one sentence, by `ping` and at the start of a worker."""

from __future__ import annotations

import os
import resource
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from config.settings import load_settings
from tests.integration.outputs.s3 import CREDENTIALS, STORED, Answer, PreparedS3, S3Server, refusal
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


DENIED = refusal(403, "AccessDenied", "x is not authorized to perform: s3:PutObject on &quot;b&quot;")
REFUSALS = {
    'perform: s3:PutObject on "b"': DENIED,
    "InvalidAccessKeyId": refusal(403, "InvalidAccessKeyId", "The key does not exist in our records."),
    "SignatureDoesNotMatch": refusal(403, "SignatureDoesNotMatch", "Check your key."),
    "set AWS_REGION to the region of the bucket": refusal(301, "PermanentRedirect", "Use the endpoint."),
    "expecting 'eu-central-1'": refusal(400, "AuthorizationHeaderMalformed", "expecting 'eu-central-1'"),
    "404 Not Found": (404, {}, "<html>\n<body>no such page</body></html>"),
    "XMinioStorageFull": refusal(507, "XMinioStorageFull", "Storage is full."),
    "ETag": (200, {}, "<html>another server</html>"),
}
"""What a server answers, by what the message says."""


@pytest.fixture
def prepared(bucket_env: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[PreparedS3]:
    """A server with prepared answers, named by the variables of this process."""
    running = PreparedS3()
    monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
    yield running
    running.close()


@pytest.mark.parametrize("said", REFUSALS)
def test_what_a_bucket_refuses(said: str, prepared: PreparedS3) -> None:
    """A wrong key, region, endpoint or right is named in one line, without the key of a file."""
    prepared.answers = {"PUT": REFUSALS[said]}
    found = failure("s3://bucket/kept")
    assert said in found
    assert (".photogpt-check" in found, "\n" in found, len(found) < 500) == (False, False, True)


def test_a_bucket_that_allows_no_delete(prepared: PreparedS3, worker_env: dict[str, str]) -> None:
    """`ping` succeeds without the right to delete, which no worker needs, and says that its small file stays."""
    denied = "<Key>kept/.photogpt-check</Key><Code>AccessDenied</Code><Message>No.</Message>"
    answer: Answer = (200, {}, f"<DeleteResult><Error>{denied}</Error></DeleteResult>")
    prepared.answers = {"PUT": STORED, "POST": answer, "DELETE": DENIED}
    done = CliRunner().invoke(cli, ["ping"], env=worker_env | {"PHOTOGPT_OUTPUTS": "s3://bucket/kept"})
    printed = " ".join(done.output.split())
    assert done.exit_code == 0, printed
    assert "✓ outputs" in printed
    assert ".photogpt-check, which this check stored, stays there" in printed
    assert "AccessDenied" in printed


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9000", "storage", "ftp://x", "http://", "http://a b", "http://x:y"])
def test_an_endpoint_that_is_no_url(endpoint: str, bucket_env: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that obstore cannot parse is refused by the name of its variable; obstore would end the thread."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert "AWS_ENDPOINT_URL must be a URL" in failure("s3://outputs/x")


def test_a_host_that_does_not_exist(bucket_env: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of an unknown host says that its name is not known."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://no-such-host.invalid:9000")
    assert "failed to lookup address" in failure("s3://outputs/x")


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A private authority that has signed a certificate for 127.0.0.1 in the same folder: `host.pem`, `host.key`."""
    new = ["openssl", "req", "-x509", "-days", "2", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    own = ["-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"]
    host = ["-subj", "/CN=host", "-keyout", "host.key", "-out", "host.pem", "-CA", "ca.pem", "-CAkey", "ca.key"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    for command in ([*new, *own], [*new, *host, *names]):
        subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    return tmp_path / "ca.pem"


def test_a_certificate_that_is_not_trusted(authority: Path, bucket_env: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of a server whose certificate is not trusted says so, and which variable helps; it does."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.with_name("host.pem"), authority.with_name("host.key"))
    server = PreparedS3(tls)
    server.answers = {"PUT": DENIED}
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    found = failure("s3://outputs/x")
    assert "certificate is not trusted: UnknownIssuer" in found
    assert "SSL_CERT_FILE" in found
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    assert "AccessDenied" in failure("s3://outputs/x")
    server.close()


def test_a_lost_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder whose mount point lost its file system takes no file, which the mount would hide when it is back."""
    mounted = {str(tmp_path), "/"}
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) in mounted)  # only root can mount
    folder = Folder(tmp_path / "kept")
    folder.put("a/1.png", iter([b"first"]), "image/png")
    mounted.remove(str(tmp_path))
    with pytest.raises(StorageError, match=f"nothing is mounted on {tmp_path}") as lost:
        folder.put("a/2.png", iter([b"second"]), "image/png")
    assert not lost.value.of_one_file
    assert not (tmp_path / "kept" / "a" / "2.png").exists()
    mounted.add(str(tmp_path))
    folder.put("a/2.png", iter([b"second"]), "image/png")


@pytest.mark.parametrize(("limit", "part"), [(1_000_000, bytes(600_000)), (100, bytes(99))])
def test_a_file_system_that_takes_no_large_file(limit: int, part: bytes, tmp_path: Path) -> None:
    """A file that is too large for its file system leaves nothing, and others can be stored."""
    folder, (soft, hard) = Folder(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(StorageError, match="File too large") as refused:
            folder.put("a/1.png", iter([part] * 2), "image/png")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refused.value.of_one_file
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


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
