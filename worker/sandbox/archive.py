"""Everything the sandbox holds: generations, models, uploads and what became of their outputs."""

import heapq
import math
from bisect import bisect_left, bisect_right

from worker.sandbox.journal import Journal, Record
from worker.sandbox.world import (
    Generation,
    JsonObject,
    Model,
    Upload,
    ended_at,
    job_stage_at,
    model_stage_at,
)


class Archive:
    """The records by id and by age; what is put into it is in the journal first."""

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal
        self._forget()
        if journal is not None:
            for entry in journal.replay():
                self._apply(*entry)

    def put(self, record: Record) -> None:
        """Keeps a new or changed record."""
        self._keep(type(record).__name__.lower(), record)

    def delete(self, asset_id: str) -> None:
        """Forgets an image or video for ever."""
        self._keep("deleted", {"id": asset_id})

    def prepare_download(self, video_id: str, started_at: float, duration_s: float) -> None:
        """Notes that a video's file is being prepared; a second request changes nothing."""
        if video_id not in self.downloads:
            self._keep("download", {"id": video_id, "started_at": started_at, "duration_s": duration_s})

    def clear(self) -> None:
        """Forgets everything, in the journal too."""
        self._keep("cleared", {})

    def close(self) -> None:
        """Closes the journal."""
        if self._journal is not None:
            self._journal.close()

    def output_of(self, asset_id: str, now: float) -> Generation | None:
        """The generation that made an image or video, if that exists by now."""
        generation = self.makers.get(asset_id)
        if generation is None or asset_id in self.deleted:
            return None
        return generation if job_stage_at(generation, now)[1].lower() == "success" else None

    def uploads_of(self, model_id: str, upload_type: str) -> list[Upload]:
        """The uploads of one type that a model has."""
        return [u for u in self.uploads.values() if u.model_id == model_id and u.type == upload_type]

    def training_of(self, model: Model) -> Generation | None:
        """The last training of a model, unless its status was set since."""
        return self.generations[model.training_id] if model.training_id else None

    def status_of(self, model: Model, now: float) -> str:
        """A model's status by now."""
        return model_stage_at(model, self.training_of(model), now)[1]

    def is_training(self, model: Model, now: float) -> bool:
        """Whether a training of the model has not ended."""
        training = self.training_of(model)
        return training is not None and now < ended_at(training)

    def active(self, kinds: tuple[str, ...], now: float) -> int:
        """How many generations of these kinds have not ended."""
        return sum(self._count_running(kind, now) for kind in kinds)

    def window(self, start: float, end: float) -> tuple[int, int]:
        """The positions in `ordered` of what was created between two times, both included."""
        return bisect_left(self._created_ms, _ms(start)), bisect_right(self._created_ms, _ms(end))

    def _count_running(self, kind: str, now: float) -> int:
        heap = self._running.setdefault(kind, [])
        while heap and heap[0] <= now:
            heapq.heappop(heap)
        return len(heap)

    def _keep(self, what: str, fact: Record | JsonObject) -> None:
        if self._journal is not None:
            self._journal.append(what, fact)
        self._apply(what, fact)

    def _apply(self, what: str, fact: Record | JsonObject) -> None:
        match fact:
            case Generation():
                self._apply_generation(fact)
            case Model():
                self.models[fact.id] = fact
            case Upload():
                self.uploads[fact.id] = fact
            case _:
                self._apply_change(what, fact)

    def _apply_generation(self, generation: Generation) -> None:
        self.generations[generation.id] = generation
        self.ordered.append(generation)
        last = self._created_ms[-1] if self._created_ms else 0
        self._created_ms.append(max(last, _ms(generation.created_at)))
        self.makers.update(dict.fromkeys(generation.outputs, generation))
        heapq.heappush(self._running.setdefault(generation.kind, []), ended_at(generation))

    def _apply_change(self, what: str, change: JsonObject) -> None:
        if what == "cleared":
            self._forget()
        elif what == "download":
            self.downloads[change["id"]] = (change["started_at"], change["duration_s"])
        else:
            self.deleted.add(change["id"])
            self.uploads.pop(change["id"], None)

    def _forget(self) -> None:
        self.generations: dict[str, Generation] = {}
        self.ordered: list[Generation] = []
        """All generations, oldest first."""
        self.models: dict[str, Model] = {}
        self.uploads: dict[str, Upload] = {}
        self.makers: dict[str, Generation] = {}
        """The generation behind every image and video id."""
        self.deleted: set[str] = set()
        self.downloads: dict[str, tuple[float, float]] = {}
        """When the file of a video was asked for, and how long its preparation takes."""
        self._created_ms: list[float] = []
        """Beside `ordered`; never falls, even where the clock was set back."""
        self._running: dict[str, list[float]] = {}


def _ms(seconds: float) -> float:
    """Whole milliseconds, rounded as the times that are told."""
    return round(round(seconds, 3) * 1000) if math.isfinite(seconds) else seconds
