"""What operators see in Flower, in a real browser."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import requests
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as seen
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.conftest import API_KEY, HOOK_PATH, HOOK_QUERY, KINDS, PASSWORD, REDIS_PASSWORD, Scene
from tests.running import WEBHOOK_SECRET
from worker.queue.publisher import TICK_TASKS

SECRETS = (
    API_KEY,
    WEBHOOK_SECRET,
    WEBHOOK_SECRET.removeprefix("whsec_"),
    REDIS_PASSWORD,
    PASSWORD,
    HOOK_PATH,
    HOOK_QUERY,
)
TICK_NAMES = set(TICK_TASKS.values())
SHOWN = {"tasks", "task"}
"""The pictures that stand in ops/flower/."""

ROW = "#tasks-table tbody tr"


def screenshot(browser: Chrome, name: str, tmp_path: Path) -> None:
    """Save a picture of the page for the test, and into FLOWER_SCREENSHOTS if the documents show it."""
    picture = tmp_path / f"{name}.png"
    browser.save_screenshot(str(picture))
    shown = os.environ.get("FLOWER_SCREENSHOTS")
    if shown and name in SHOWN:
        shutil.copy(picture, shown)


def open_tasks(browser: Chrome, scene: Scene) -> dict[str, dict[str, str]]:
    """Open the tasks page, wait for its table, and return the cells of each row by column and task id."""
    browser.get(scene.url("/tasks"))
    WebDriverWait(browser, 20).until(lambda shown: len(shown.find_elements(By.CSS_SELECTOR, ROW)) >= len(scene.ids))
    columns = [cell.get_attribute("data-column") or "" for cell in browser.find_elements(By.CSS_SELECTOR, "th")]
    columns = list(dict.fromkeys(filter(None, columns)))  # the table's head is there twice: it scrolls
    rows = {}
    for row in browser.find_elements(By.CSS_SELECTOR, ROW):
        cells = [cell.get_attribute("textContent") or "" for cell in row.find_elements(By.TAG_NAME, "td")]
        rows[row.get_attribute("id") or ""] = dict(zip(columns, cells, strict=True))
    return rows


def statuses(browser: Chrome, url: str) -> list[int]:
    """Return the HTTP statuses of a page since the last call."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]  # type: ignore[no-untyped-call]
    answers = [event["params"]["response"] for event in events if event["method"] == "Network.responseReceived"]
    return [answer["status"] for answer in answers if answer["url"] == url]


def test_every_page_needs_the_login(scene: Scene, logged_out: Chrome) -> None:
    """Flower answers 401 without a login and shows neither pages nor data."""
    for path in ("/", "/tasks", "/workers", f"/task/{scene.ids['image']}", "/broker", "/api/tasks", "/api/workers"):
        assert requests.get(scene.url(path), timeout=10).status_code == 401, path
    logged_out.get(scene.url("/tasks"))
    WebDriverWait(logged_out, 10).until(lambda shown: 401 in statuses(shown, scene.url("/tasks")))
    assert not logged_out.find_elements(By.ID, "tasks-table")
    assert [task_id for task_id in scene.ids.values() if task_id in logged_out.page_source] == []


def test_a_wrong_password(scene: Scene) -> None:
    """Flower answers 401 to the right user name with a wrong password."""
    answer = requests.get(scene.url("/tasks"), auth=("operator", "wrong"), timeout=10)
    assert answer.status_code == 401


def test_tasks_have_the_ids_of_their_producers(scene: Scene, browser: Chrome, tmp_path: Path) -> None:
    """Flower's tasks page lists every job with its state under the producer's task id and task name."""
    rows = open_tasks(browser, scene)
    screenshot(browser, "tasks", tmp_path)
    for name, task_id in scene.ids.items():
        assert task_id in rows, name
        assert rows[task_id]["name"] == KINDS[name]
        assert task_id in rows[task_id]["uuid"]
    states = {name: rows[task_id]["state"].strip() for name, task_id in scene.ids.items()}
    assert states == dict.fromkeys(("image", "upscale", "video", "training"), "SUCCESS") | {
        "refused": "FAILURE",
        "unfinished": "STARTED",
    }


def test_ticks_are_not_listed(scene: Scene, browser: Chrome) -> None:
    """Flower's tasks page lists jobs only, no ticks of the lanes."""
    rows = open_tasks(browser, scene)
    assert {row["name"] for row in rows.values()}.isdisjoint(TICK_NAMES)
    assert set(scene.ask("/api/tasks")) == set(scene.ids.values())


def test_arguments_have_no_secret(scene: Scene, browser: Chrome) -> None:
    """Flower's tasks page shows the request, and only the host of a webhook."""
    row = open_tasks(browser, scene)[scene.ids["image"]]
    assert "nanobanana" in row["kwargs"]
    assert "a quiet harbour" in row["kwargs"]
    assert "hooks.example" in row["kwargs"]
    leaked = [secret for secret in SECRETS if secret in browser.page_source]
    assert leaked == []


@pytest.mark.parametrize(
    "path", ["/api/tasks", "/api/workers", "/broker", "/worker/{node}", "/task/{image}", "/metrics"]
)
def test_no_page_has_a_secret(scene: Scene, path: str) -> None:
    """No page and no API answer of Flower contains a key, a secret, a password or a webhook's path."""
    url = scene.url(path.format(node=scene.node, image=scene.ids["image"]))
    answer = requests.get(url, auth=("operator", PASSWORD), timeout=20)
    assert answer.status_code == 200
    assert [secret for secret in SECRETS if secret in answer.text] == []


def test_the_page_of_a_task(scene: Scene, browser: Chrome, tmp_path: Path) -> None:
    """The page of a task in Flower shows its state, its arguments and its outcome."""
    open_tasks(browser, scene)
    task_id = scene.ids["image"]
    browser.find_element(By.CSS_SELECTOR, f"#tasks-table a[href$='{task_id}']").click()
    WebDriverWait(browser, 20).until(seen.url_contains(f"/task/{task_id}"))
    WebDriverWait(browser, 20).until(seen.text_to_be_present_in_element((By.ID, "task-page"), "SUCCESS"))
    screenshot(browser, "task", tmp_path)
    page = browser.find_element(By.ID, "task-page").text
    for text in (task_id, "photogpt.generate_image", "quiet harbour", "'state': 'succeeded'", ".png", "'finished_at'"):
        assert text in page


def test_the_page_of_a_failed_task(scene: Scene, browser: Chrome, tmp_path: Path) -> None:
    """The page of a failed task in Flower shows the reason and the invalid field."""
    browser.get(scene.url(f"/task/{scene.ids['refused']}"))
    WebDriverWait(browser, 20).until(seen.text_to_be_present_in_element((By.ID, "task-page"), "FAILURE"))
    screenshot(browser, "refused", tmp_path)
    assert "invalid_request: request.prompt" in browser.find_element(By.ID, "task-page").text


def test_the_page_of_an_unfinished_task(scene: Scene, browser: Chrome, tmp_path: Path) -> None:
    """The page of an unfinished job in Flower shows STARTED and a button that revokes it."""
    browser.get(scene.url(f"/task/{scene.ids['unfinished']}"))
    WebDriverWait(browser, 20).until(seen.text_to_be_present_in_element((By.ID, "task-page"), "STARTED"))
    screenshot(browser, "unfinished", tmp_path)
    assert browser.find_elements(By.CSS_SELECTOR, ".detail-actions button") != []


def test_workers_are_online(scene: Scene, browser: Chrome, tmp_path: Path) -> None:
    """Flower's workers page shows the worker as online under its name."""
    browser.get(scene.url("/workers"))
    row = f"//table[@id='workers-table']/tbody/tr[td[contains(., '{scene.node}')]]"
    WebDriverWait(browser, 20).until(seen.text_to_be_present_in_element((By.XPATH, row), "Online"))
    WebDriverWait(browser, 20).until(seen.text_to_be_present_in_element((By.ID, "workers-online"), "1"))
    screenshot(browser, "workers", tmp_path)
    assert scene.node.startswith("line-1@")


def test_pages_load_without_errors(scene: Scene, browser: Chrome) -> None:
    """Flower's tasks page loads every resource without an error and from its own host."""
    open_tasks(browser, scene)
    script = "return JSON.stringify(performance.getEntriesByType('resource').map(e => [e.name, e.responseStatus]))"
    loaded = json.loads(browser.execute_script(script))
    assert loaded
    assert [entry for entry in loaded if entry[1] >= 400 or not entry[0].startswith(scene.url("/"))] == []
