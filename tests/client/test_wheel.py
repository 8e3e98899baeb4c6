"""The wheel of the package, installed beside a project that has modules of the same names as the service."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import photogpt_client
from tests.architecture.test_layers import SOURCES

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, sys
from photogpt_client import Client, AsyncClient
early = sorted({"redis", "pydantic", "celery", "cryptography", "pytest"} & set(sys.modules))
import config, worker, app
import photogpt_client, photogpt_client.celery, photogpt_client.webhooks
from photogpt_client.testing import plugin
signature = photogpt_client.celery.image(app.app, modelID="nanobanana", prompt="Dawn", tenant="shop", id="t1")
places = [config.__file__, worker.__file__, app.__file__, photogpt_client.__file__]
print(json.dumps([early, places, signature.task, signature.kwargs, signature.options["task_id"]]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy, so that nothing is left in the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "client"
    shutil.copytree(ROOT / "ops/client", source, ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--wheel-dir", str(folder), str(source)], check=True, timeout=100)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_has_one_top_level_name(wheel: Path) -> None:
    """The wheel holds one import name, its types and the test kit."""
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.partition("/")[0] for name in names} == {"photogpt_client", "photogpt_client-0.1.0.dist-info"}
    assert {"photogpt_client/py.typed", "photogpt_client/testing/plugin.py"} <= names


def test_it_stands_beside_a_project_with_the_same_names(wheel: Path, tmp_path: Path) -> None:
    """A project with its own `config`, `worker.py` and Celery app imports them and the package, without the service."""
    venv.create(tmp_path / "venv", with_pip=False)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])  # but not what its own .pth files add
    project = tmp_path / "project"
    (project / "config").mkdir(parents=True)
    (project / "config/__init__.py").write_text("DEBUG = True\n")
    (project / "worker.py").write_text("from app import app\n")
    (project / "app.py").write_text("from celery import Celery\napp = Celery('shop', broker='memory://')\n")
    (project / "main.py").write_text(PROGRAM)
    python = tmp_path / "venv/bin/python"
    done = subprocess.run([python, "main.py"], cwd=project, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    early, places, task, kwargs, task_id = json.loads(done.stdout)
    assert early == [], "importing the client must not import what takes time"
    assert [Path(place).relative_to(tmp_path).parts[0] for place in places] == ["project"] * 3 + ["venv"]
    assert (task, task_id, kwargs["tenant"]) == ("photogpt.generate_image", "t1", "shop")


def test_every_public_name_can_be_imported() -> None:
    """`from photogpt_client import *` brings every public name, and `dir` lists it."""
    names: dict[str, object] = {}
    exec("from photogpt_client import *", names)  # noqa: S102 - what a notebook does
    public = {name for home in photogpt_client.HOMES.values() for name in home}
    assert public == set(photogpt_client.__all__) == names.keys() - {"__builtins__"}
    assert public <= set(dir(photogpt_client))


def test_the_service_stands_without_the_package() -> None:
    """No module of the service imports the package: both share the format and the golden files, not code."""
    assert [path for path in SOURCES if "photogpt_client" in path.read_text(encoding="utf-8")] == []
