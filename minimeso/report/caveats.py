"""What a reader should bear in mind about this very file: a line for each caveat that applies."""

from __future__ import annotations

from collections.abc import Iterator

from ..detect.causes import SMALL
from ..detect.prior import EVEN
from ..detect.track_score import FAKE_SECONDS
from ..detect.verdict import Verdict
from ..media.origin import Origin
from ..notes import DOUBTS, Code, tenths_down
from .phrases import counted, percent

#: Notes of a verdict that are said elsewhere on the page, in more words.
_SAID = {*DOUBTS, "left_out"}
#: What a note means for the verdict.
_MEANING: dict[Code, str] = {
    "first_frame_only": "what comes after it is not known",
    "one_frame_only": "what the others show is not known",
    "first_clip_only": "to have the others judged, split the file",
    "clip_behind": "to have that judged, too, save it as a file",
    "largest_track_only": "to have the others judged, save each of them as a file",
    "reduced": "small faces may be missed",
    "deinterlaced": "that softens what is looked for",
    "tone_mapped": "the model has learned from the latter only",
    "damaged_frames": "what could not be read was not judged",
    "frames_without_memory": "what was left out was not judged: free memory, or allow more",
    "before_key_frame": "what could not be shown was not judged, and times count from what follows",
    "damaged_after": "what could not be read was not judged",
    "cut_short": "what could not be read was not judged",
    "stopped": "what comes after is not known",
}
#: IPTC's terms for what a generator made, or had a part in.
_GENERATED = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia")


def caveats(verdict: Verdict, is_picture: bool, looks: int, origin: Origin | None) -> Iterator[str]:
    """The lines, as plain text.

    Args:
        verdict: on the file, with the moments of its tracks.
        is_picture: whether it is no clip.
        looks: how many frames were looked at.
        origin: what the file says of itself.
    """
    for note in verdict.notes:
        if note.code not in _SAID:
            text, meaning = str(note), _MEANING.get(note.code)
            yield f"{text[:1].upper()}{text[1:]}{'; ' + meaning if meaning else ''}."
    if verdict.verdict is not None:
        yield from _of_what_was_judged(verdict, is_picture, looks)
    source = origin.digital_source_type if origin is not None else None
    if source is not None and source.endswith(_GENERATED):
        yield (
            "The file says of itself that a generator made it, or a part of it. The model does not "
            "look for that, and the verdict does not weigh it."
        )


def _of_what_was_judged(verdict: Verdict, is_picture: bool, looks: int) -> Iterator[str]:
    doubts = {note.code for note in verdict.notes}
    frames = verdict.tracks[0].frames if verdict.tracks else ()
    several = len(verdict.tracks) > 1
    whose = f" of person {verdict.tracks[0].id}, the most suspicious," if several else ""
    sides = sorted(max(moment.box[2:]) for moment in frames)
    if sides and sides[len(sides) // 2] < SMALL and "small_face" not in doubts:
        yield (
            f"The face{whose} is small ({sides[len(sides) // 2]} pixels): under {SMALL} the scores "
            "mean less."
        )
    if is_picture:
        yield "It is one picture, so there was one look: a clip of the same person would show more."
    elif frames and frames[-1].t - frames[0].t < FAKE_SECONDS:
        yield (
            f"The face{whose} was judged over {tenths_down(frames[-1].t - frames[0].t)} s only: "
            f"nobody is called fake for less than {FAKE_SECONDS:g} s."
        )
    if not is_picture and 2 * verdict.frames_scored < looks:
        yield (
            f"Only in {verdict.frames_scored:,} of {counted(looks, 'frame')} that were looked at "
            "was there a face that can be judged: nothing is known about the rest."
        )
    if several:
        yield (
            f"{counted(len(verdict.tracks), 'face' if is_picture else 'person')} were judged: "
            "among many one is misjudged now and then, so each needs stronger evidence."
        )
    if verdict.prior != EVEN:
        yield (
            f"The verdict takes it that {percent(verdict.prior)} of all files have a swapped face "
            "(--prior)."
        )
