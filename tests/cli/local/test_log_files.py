"""Reading log files while they grow."""

from __future__ import annotations

from pathlib import Path

from worker.cli.local.log_files import LogTail


def test_only_complete_new_lines(tmp_path: Path) -> None:
    """A log tail returns complete new lines only, and none that were there before."""
    path = tmp_path / "log"
    assert LogTail(path).new_lines() == []
    path.write_text("before\n")
    tail = LogTail(path)
    with path.open("a") as file:
        file.write("one\ntw")
        file.flush()
        assert tail.new_lines() == ["one"]
        file.write("o\n")
        file.flush()
        assert tail.new_lines() == ["two"]
