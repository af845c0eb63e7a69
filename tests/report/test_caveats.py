"""What is said of one file: a line for each caveat that applies, and one plain sentence."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from support.seen import face, frame, verdict_of

from minimeso.detect.box import Box
from minimeso.detect.verdict import Track, Verdict
from minimeso.media.origin import Origin
from minimeso.notes import Note
from minimeso.report.caveats import caveats
from minimeso.report.sentence import sentence

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def clip(p_fake: float = 0.95, seconds: int = 4, persons: int = 1, **changes: Any) -> Verdict:
    frames = [
        frame(number / 4, [face(one, p_fake, 40.0 * one) for one in range(1, persons + 1)])
        for number in range(4 * seconds + 1)
    ]
    return verdict_of("x.mp4", frames, range(1, persons + 1), **changes)


def short(seconds: float) -> Verdict:
    frames = [frame(0.0, [face(1, 0.9)]), frame(seconds, [face(1, 0.9)])]
    return verdict_of("x.mp4", frames)


def picture(**changes: Any) -> Verdict:
    return verdict_of("x.jpg", [frame(0.0, [face(1, 0.1)])], (1,), **changes)


def told(verdict: Verdict, looks: int | None = None, origin: Origin | None = None) -> str:
    looks = verdict.frames_read if looks is None else looks
    return "\n".join(caveats(verdict, verdict.frames_read == 1, looks, origin)).replace("\xa0", " ")


def large(track: Track) -> Track:
    """The same person with a face of 200 pixels."""
    moments = (moment._replace(box=Box(0, 0, 150, 200)) for moment in track.frames)
    return dataclasses.replace(track, frames=tuple(moments))


def test_a_plain_clip_has_none() -> None:
    verdict = clip()
    assert told(dataclasses.replace(verdict, tracks=tuple(map(large, verdict.tracks)))) == ""


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (clip(), "The face is small (50 pixels): under 100 the scores mean less."),
        (clip(seconds=1), "judged over 1.0 s only: nobody is called fake for less than 1.5 s."),
        (short(1.48), "judged over 1.4 s only: nobody is called fake for less than 1.5 s."),
        (clip(persons=2), "The face of person 1, the most suspicious, is small (50 pixels)"),
        (clip(persons=3), "3 persons were judged: among many one is misjudged now and then"),
        (clip(prior=0.05), "5 % of all files have a swapped face (--prior)"),
        (picture(), "there was one look"),
        (clip(notes=(Note("deinterlaced"),)), "Its frames are interlaced: deinterlaced; that sof"),
        (clip(notes=(Note("stopped"),), status="partial"), "what comes after is not known."),
    ],
)
def test_each_caveat_has_a_line(verdict: Verdict, expected: str) -> None:
    assert expected in told(verdict)


def test_what_was_looked_at_in_vain_and_what_the_file_says() -> None:
    assert "Only in 17 of 40 frames that were looked at" in told(clip(), 40)
    origin = Origin("x.mp4", 1, "", digital_source_type=GENERATED)
    assert "a generator made it" in told(clip(), origin=origin)
    camera = dataclasses.replace(origin, digital_source_type="digitalCapture")
    assert "generator" not in told(clip(), origin=camera)


def test_a_doubt_that_is_said_already_is_not_said_again() -> None:
    doubts = (Note("small_face", {"pixels": 50}), Note("left_out", {"dark": 3}))
    assert told(clip(0.5, notes=doubts)) == ""


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (clip(), "1 person in 17 frames was judged, and it looks swapped in, with a probability of "
         "a swap, as the model sees it, of 85 % to 100 %; the model may err: look at the frames "
         "that the report shows (--report) and ask where it comes from."),
        (clip(persons=2), "2 persons in 17 frames were judged, and at least one of them looks"),
        (picture(), "1 face was judged, and no trace of a swap of the kinds that the model knows "
         "was found, with a probability of a swap, as the model sees it, of 0 % to 20 %; that does "
         "not make the picture "
         "genuine: if much depends on it, ask where it comes from."),
        (clip(0.5, notes=(Note("between_thresholds", {"real": 0.4, "fake": 0.6}),
                          Note("small_face", {"pixels": 50}))),
         "cannot tell, with a probability of a swap, as the model sees it, of 40 % to 60 %: take "
         "it for not checked; what may help is a larger picture of the face."),
        (clip(0.5), "what may help is another picture or clip of the same person."),
        (clip(status="partial"), "As far as it was looked at, 1 person in 17 frames was judged"),
        (verdict_of("x", [], (), status="no_face"), "No face was found in this picture"),
        (verdict_of("x", [], (), status="no_face", left_out={"dark": 1}, frames_read=9),
         "Faces were seen in it, but none that can be judged, so nothing is known about it"),
        (verdict_of("x", [], (), status="partial", frames_read=9),
         "As far as it was looked at, no face was found in this clip, so nothing is known"),
        (verdict_of("x", [], (), verdict="uncertain", notes=(Note("covered"),),
                    left_out={"covered": 1}),
         "try a picture or clip of the same person without glasses, mask, hand or bar."),
        (verdict_of("x", [frame(0.0, [face(1, 0.9)])], notes=(Note("stopped"),), status="partial"),
         "As far as it was looked at, 1 person in 1 frame was judged"),
        (verdict_of("x", [], (), status="unreadable",
                    notes=(Note("unreadable", {"reason": "odd: save it as PNG"}),)),
         "Nothing is known about it, because it could not be read: save it as PNG."),
    ],
)  # fmt: skip
def test_one_sentence(verdict: Verdict, expected: str) -> None:
    said = sentence(verdict)
    assert expected in said and said.isprintable()
    assert said.endswith(".") and "\n" not in said and said.count(". ") == 0
