"""The judge: uploads, one after the other, in a thread of its own; pages hear how far it is."""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections.abc import Mapping
from typing import NamedTuple

from ..detect import Detector
from ..detect.pair import Pair
from ..detect.verdict import SeenFrame, Verdict
from ..engine import Model
from ..errors import MinimesoError, PictureError
from ..media.origin import origin_of
from ..media.streams import Stream
from ..media.video import is_clip, open_clip
from ..notes import clock, in_words
from ..report import Report
from ..report.phrases import percent
from .uploads import Event, Upload

#: Seconds from one drawing of what grows to the next, at least, and how many times as long as
#: drawing takes.
_EVERY_SECONDS, _TIMES_DRAWING = 0.4, 10
#: Seconds that closing waits for what is just being looked at; no thread can be stopped by force.
_PATIENCE = 1.0


class Settings(NamedTuple):
    """How files are judged, beside the detector.

    Attributes:
        model: as given to the detector.
        looked_at: what the report tells of it: what, and its value.
        fps: frames of a clip in a second; ``None`` is the default.
        every_frame: all of them.
    """

    model: str | Model | Pair = "default"
    looked_at: Mapping[str, str] = {}
    fps: float | None = None
    every_frame: bool = False


class Judge:
    """Judges uploads in the order in which they come.

    Args:
        detector: is used by one thread only.
        settings: see there.
    """

    def __init__(self, detector: Detector, settings: Settings) -> None:
        self._detector, self._settings = detector, settings
        self._waiting: queue.SimpleQueue[Upload | None] = queue.SimpleQueue()
        self._current: Upload | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="minimeso-gui", daemon=True)
        self._thread.start()

    def submit(self, upload: Upload) -> None:
        """Judge it when all before it are done, and close it."""
        if self._current is not None and not upload.stopped:
            upload.tell({"waiting": True})
        self._waiting.put(upload)

    def close(self) -> None:
        """Stop what is being judged, and leave the rest."""
        self._ended = True
        current = self._current
        if current is not None:
            current.stop()
        self._waiting.put(None)
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        while (upload := self._waiting.get()) is not None:
            if not upload.begin():
                continue
            self._current = upload
            try:
                last = self._judge(upload)
            except MinimesoError as error:
                last = {"error": str(error)}
            except MemoryError:
                last = {"error": "needs more memory than there is: scale it down"}
            except Exception as error:  # else the page would wait for ever, and so the next file
                last = {"error": f"{type(error).__name__}: {error}"}
            finally:
                self._current = None
                upload.close()  # before the page hears the last: it may send the next at once
            if last is not None:
                upload.tell(last)

    def _judge(self, upload: Upload) -> Event | None:
        """The last that is said of it; None where nobody listens any more."""
        if self._ended:
            return None
        settings, detector = self._settings, self._detector
        report = Report(
            detector.networks,
            settings.model,
            settings.looked_at,
            measured=detector.measured,
            first=upload.number,
        )
        upload.tell({"done": None, "at": "", "html": ""})
        origin = origin_of(_opened(upload))
        verdict = self._verdict(upload, report)
        if self._ended:
            return None
        report.end(verdict, origin and dataclasses.replace(origin, name=upload.name))
        kind = verdict.verdict or verdict.status
        return {
            "document": "".join(report.parts()),
            "kind": kind,
            "said": in_words(kind),
            "score": "" if verdict.p_fake is None else percent(verdict.p_fake),
        }

    def _verdict(self, upload: Upload, report: Report) -> Verdict:
        settings, due = self._settings, 0.0

        def on_frame(frame: SeenFrame, done: float | None) -> bool:
            nonlocal due
            report.add(frame)
            start = time.monotonic()
            if frame.so_far is not None and start >= due and not upload.stopped:
                html = report.growing(frame, done)
                upload.tell({"done": done, "at": clock(frame.t), "html": html})
                took = time.monotonic() - start
                due = start + max(_EVERY_SECONDS, _TIMES_DRAWING * took)
            return upload.stopped

        clip = None
        try:
            if is_clip(_opened(upload)):
                clip = open_clip(_opened(upload), settings.fps, settings.every_frame)
        except PictureError:
            pass  # the detector meets it again and says it in its verdict
        if clip is None:
            verdict = self._detector.check(_opened(upload), on_frame=on_frame)
            return dataclasses.replace(verdict, path=upload.name)
        with clip:
            clip.path = upload.name
            upload.stop_by(clip.stop)
            return self._detector.check(clip, on_frame=on_frame)


def _opened(upload: Upload) -> Stream:
    """Its file from the beginning; closing it closes nothing."""
    upload.file.seek(0)
    return Stream(upload.file, is_ours=False)
