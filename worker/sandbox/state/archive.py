"""All records of the sandbox: generations, models, uploads, deletions and video downloads."""

import heapq
import math
from bisect import bisect_left, bisect_right

from worker.sandbox.state.journal import Journal, Record
from worker.sandbox.state.records import (
    Generation,
    JsonObject,
    Model,
    Upload,
    ended_at,
    job_stage_at,
    model_stage_at,
)


class Archive:
    """The records by id and by age. A change is written to the journal first."""

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal
        self._empty()
        if journal is not None:
            for entry in journal.replay():
                self._apply(*entry)

    def put(self, record: Record) -> None:
        """Store a new or changed record."""
        self._store(type(record).__name__.lower(), record)

    def delete(self, asset_id: str) -> None:
        """Mark an image or video as deleted."""
        self._store("deleted", {"id": asset_id})

    def prepare_download(self, video_id: str, started_at: float, duration_s: float) -> None:
        """Start to prepare a video's file; a second request changes nothing."""
        if video_id not in self.downloads:
            self._store("download", {"id": video_id, "started_at": started_at, "duration_s": duration_s})

    def clear(self) -> None:
        """Delete all records, in the journal too."""
        self._store("cleared", {})

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()

    def generation_of(self, asset_id: str, now: float) -> Generation | None:
        """Return the generation that made an image or video, or None if that output does not exist now."""
        generation = self.generation_by_output.get(asset_id)
        if generation is None or asset_id in self.deleted:
            return None
        return generation if job_stage_at(generation, now)[1].lower() == "success" else None

    def uploads_of(self, model_id: str, upload_type: str) -> list[Upload]:
        """Return the uploads of one type that a model has."""
        return [u for u in self.uploads.values() if u.model_id == model_id and u.type == upload_type]

    def training_of(self, model: Model) -> Generation | None:
        """Return the last training of a model, or None if its status was set afterwards."""
        return self.generations[model.training_id] if model.training_id else None

    def status_of(self, model: Model, now: float) -> str:
        """Return a model's status now."""
        return model_stage_at(model, self.training_of(model), now)[1]

    def is_training(self, model: Model, now: float) -> bool:
        """Return whether the model is being trained."""
        training = self.training_of(model)
        return training is not None and now < ended_at(training)

    def active(self, kinds: tuple[str, ...], now: float) -> int:
        """Count the generations of these kinds that have not ended."""
        return sum(self._count_running(kind, now) for kind in kinds)

    def created_between(self, start: float, end: float) -> tuple[int, int]:
        """Return the positions in `ordered` of generations created between two times, both included."""
        return bisect_left(self._created_ms, _ms(start)), bisect_right(self._created_ms, _ms(end))

    def _count_running(self, kind: str, now: float) -> int:
        heap = self._running.setdefault(kind, [])
        while heap and heap[0] <= now:
            heapq.heappop(heap)
        return len(heap)

    def _store(self, name: str, fact: Record | JsonObject) -> None:
        if self._journal is not None:
            self._journal.append(name, fact)
        self._apply(name, fact)

    def _apply(self, name: str, fact: Record | JsonObject) -> None:
        match fact:
            case Generation():
                self._apply_generation(fact)
            case Model():
                self.models[fact.id] = fact
            case Upload():
                self.uploads[fact.id] = fact
            case _:
                self._apply_change(name, fact)

    def _apply_generation(self, generation: Generation) -> None:
        self.generations[generation.id] = generation
        self.ordered.append(generation)
        last = self._created_ms[-1] if self._created_ms else 0
        self._created_ms.append(max(last, _ms(generation.created_at)))
        self.generation_by_output.update(dict.fromkeys(generation.outputs, generation))
        heapq.heappush(self._running.setdefault(generation.kind, []), ended_at(generation))

    def _apply_change(self, name: str, change: JsonObject) -> None:
        if name == "cleared":
            self._empty()
        elif name == "download":
            self.downloads[change["id"]] = (change["started_at"], change["duration_s"])
        else:
            self.deleted.add(change["id"])
            self.uploads.pop(change["id"], None)

    def _empty(self) -> None:
        self.generations: dict[str, Generation] = {}
        self.ordered: list[Generation] = []
        """All generations, oldest first."""
        self.models: dict[str, Model] = {}
        self.uploads: dict[str, Upload] = {}
        self.generation_by_output: dict[str, Generation] = {}
        """The generation that made each image and video, by output id."""
        self.deleted: set[str] = set()
        self.downloads: dict[str, tuple[float, float]] = {}
        """By video id, when its file was requested, and the seconds that preparing it takes."""
        self._created_ms: list[float] = []
        """Creation times in the order of `ordered`; never decreasing, even if the clock was set back."""
        self._running: dict[str, list[float]] = {}


def _ms(seconds: float) -> float:
    """Round to milliseconds, as the times in answers are rounded."""
    return round(round(seconds, 3) * 1000) if math.isfinite(seconds) else seconds
