"""Looks of the thorough network: how many, at which faces, when; and what a pair makes of them."""

from __future__ import annotations

import io
import itertools
import math
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.detectors import photo, saved_pair, small_detector, small_pair
from support.worlds import World

import minimeso
from minimeso import Detector, FaceFinder, Graph, Model, ModelError, Session
from minimeso.detect.analyzer import Analyzer, CroppedFrame
from minimeso.detect.box import Box, scaled
from minimeso.detect.framing import resized_crop, square, whole
from minimeso.detect.moments import Moments
from minimeso.detect.pair import Combination, Pair, logit
from minimeso.detect.rule import Rule
from minimeso.detect.thorough import JUMP, LEAST_SECONDS, LONG, MANY, SHORT, WIDER, Look, Looks
from minimeso.media.pictures import read_picture
from minimeso.media.video import raw_frames

PORTRAIT = read_picture(Path(minimeso.__file__).parent / "samples" / "portrait.jpg").pixels
NO_CROP = np.zeros(0, np.float32)


class Offer(NamedTuple):
    """A judged face of a made up clip."""

    t: float
    logit: float = 0.0
    quality: float = 0.0
    person: int = 1


def looked(offers: Sequence[Offer], rest: bool = True) -> list[tuple[float, Offer]]:
    """When each look is taken, and at what."""
    looks, found = Looks(), []
    places: dict[int, list[Offer]] = {}

    def take(t: float, chosen: list[Look]) -> None:
        found.extend((t, places[look.person][look.place]) for look in chosen)

    for t, frame in itertools.groupby(offers, key=lambda offer: offer.t):
        take(t, looks.pass_time(t))
        for offer in frame:
            seen = places.setdefault(offer.person, [])
            look = Look(offer.person, len(seen), NO_CROP)
            seen.append(offer)
            take(t, looks.offer(t, offer.logit, offer.quality, look))
    if rest:
        take(math.inf, looks.rest())
    assert not looks.rest() or not rest
    return found


def steady(seconds: float, rate: float, **values: Any) -> list[Offer]:
    return [Offer(number / rate, **values) for number in range(round(seconds * rate))]


# --- how many ----------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [4, 5, 10, 25, 30, 60])
@pytest.mark.parametrize(("seconds", "count"), [(0.5, 2), (2, 5), (3.5, 8), (7.5, 12), (63.5, 68)])
def test_how_many_looks(rate: float, seconds: float, count: int) -> None:
    """One at once, one in each half second until there are eight, one a second then."""
    offers = steady(seconds, rate)
    if rate == 5 and seconds % 1:  # its frames do not meet the half seconds
        offers = [offer for offer in offers if offer.t < seconds - 1e-9]
    assert MANY == 8 and (SHORT, LONG) == (0.5, 1.0)
    assert len(looked(offers)) == count


@pytest.mark.parametrize("rate", [0.2, 0.5, 1])
def test_few_frames_are_all_looked_at(rate: float) -> None:
    offers = steady(20 / rate, rate)
    assert [offer for _, offer in looked(offers)] == offers


def test_one_frame_is_looked_at_at_once() -> None:
    assert looked([Offer(3.0)], rest=False) == [(3.0, Offer(3.0))]


# --- which, and when ---------------------------------------------------------------------


def test_the_best_face_of_each_window_when_it_is_over() -> None:
    offers = [Offer(n / 10, quality=[3, 1, 2, 9, 0][n % 5]) for n in range(20)]
    chosen = looked(offers)
    assert chosen[0] == (0.0, offers[0])
    assert [offer.t for _, offer in chosen[1:]] == [0.3, 0.8, 1.3, 1.8]
    assert [t for t, _ in chosen[1:]] == [0.5, 1.0, 1.5, math.inf]


def test_of_equal_faces_the_first() -> None:
    assert [offer.t for _, offer in looked(steady(1, 10))] == [0.0, 0.1, 0.5]


def test_who_leaves_early_is_looked_at_all_the_same() -> None:
    """When time passes, not at the end of the clip."""
    offers = [Offer(0.0), Offer(0.25, quality=1.0), *(Offer(n / 4, person=2) for n in range(2, 9))]
    assert (0.5, Offer(0.25, quality=1.0)) in looked(offers, rest=False)


def test_who_comes_back_goes_on() -> None:
    """The windows of his first appearance go on, and the empty ones are skipped."""
    offers = [*steady(1, 4), *(Offer(60.2 + n / 4) for n in range(4))]
    chosen = [offer.t for _, offer in looked(offers)]
    assert chosen == [0.0, 0.25, 0.5, 60.2, 60.7]


def test_a_jump_is_looked_at_at_once() -> None:
    offers = [Offer(n / 10, logit=0.0 if n < 43 else JUMP + 0.1) for n in range(80)]
    chosen = looked(offers)
    at_once = [(t, offer.t) for t, offer in chosen if t == offer.t]
    assert at_once == [(0.0, 0.0), (4.3, 4.3)]
    without = looked([offer._replace(logit=0.0) for offer in offers])
    assert len(chosen) == len(without) + 1
    assert [t for t, _ in chosen] == sorted(t for t, _ in chosen)


def test_a_small_change_is_none() -> None:
    offers = [Offer(n / 10, logit=(JUMP - 0.1) * (n % 2)) for n in range(80)]
    assert len(looked(offers)) == len(looked(steady(8, 10)))


def test_jumps_to_and_fro_are_bounded() -> None:
    offers = [Offer(n / 100, logit=2 * JUMP * (n % 2)) for n in range(1000)]
    assert len(looked(offers)) <= 10 / LEAST_SECONDS * 2


_OFFERS = st.lists(
    st.tuples(
        st.sampled_from([0.01, 0.04, 0.1, 0.25, 0.3, 1.0, 7.0]),
        st.lists(
            st.tuples(st.integers(1, 4), st.floats(-7, 7), st.sampled_from([0.0, 1.0, 2.0])),
            unique_by=lambda face: face[0],
            max_size=3,
        ),
    ),
    max_size=60,
)


@given(_OFFERS)
def test_any_clip(frames: list[tuple[float, list[tuple[int, float, float]]]]) -> None:
    offers: list[Offer] = []
    t = 0.0
    for step, faces in frames:
        t += step
        offers += [Offer(t, found, quality, person) for person, found, quality in faces]
    chosen = looked(offers)
    assert len(set(chosen)) == len(chosen)
    for person in {offer.person for offer in offers}:
        judged = [offer for offer in offers if offer.person == person]
        of_person = [(t, offer) for t, offer in chosen if offer.person == person]
        assert of_person[0] == (judged[0].t, judged[0])
        times = [offer.t for _, offer in of_person]
        assert times == sorted(times), "looks are taken in time"
        assert all(t >= offer.t for t, offer in of_person)
        seconds = judged[-1].t - judged[0].t
        assert len(times) <= 2 + seconds / SHORT + 2 * seconds / LEAST_SECONDS
        for offer in judged:  # nobody is out of sight for long
            assert min(abs(offer.t - t) for t in times) < 2 * LONG
    cut = [offer for offer in offers if offer.t <= t / 2]
    early = [found for found in chosen if found[0] <= (cut[-1].t if cut else -1)]
    assert looked(cut, rest=False) == early, "what comes later changes nothing"


def test_only_the_faces_that_wait_are_kept() -> None:
    looks = Looks()
    alive: list[weakref.ref[Any]] = []
    for number in range(500):
        t = number / 25
        looks.pass_time(t)
        for person in (1, 2, 3 + number // 50):
            crop = np.zeros((3, 8, 8), np.float32)
            alive.append(weakref.ref(crop))
            looks.offer(t, 0.0, math.sin(number), Look(person, number, crop))
        del crop
        assert sum(ref() is not None for ref in alive) <= 4


# --- between the looks -------------------------------------------------------------------


@given(
    st.lists(st.floats(0.01, 5), min_size=1, max_size=30),
    st.data(),
)
def test_a_frame_between_two_looks_gets_what_lies_between(
    steps: list[float], data: st.DataObject
) -> None:
    times = list(itertools.accumulate(steps))
    places = sorted(data.draw(st.sets(st.integers(0, len(times) - 1), min_size=1)))
    found = data.draw(st.lists(st.floats(-7, 7), min_size=len(places), max_size=len(places)))
    moments = Moments(0.5)
    for number, t in enumerate(times):
        moments.append(t, Box(1, 2, 3, 4), 0.1 * number - 1)
    for place, value in zip(places, found, strict=True):
        moments.look(place, value)
    between = np.interp(times, [times[place] for place in places], found)
    expected = 1 / (1 + np.exp(-(0.1 * np.arange(len(times)) - 1 + 0.5 * between)))
    assert [moment.p_fake for moment in moments] == pytest.approx(list(expected), abs=1e-12)
    assert [n for n, moment in enumerate(moments) if moment.thorough] == places
    assert [moment.t for moment in moments[1:]] == times[1:]


# --- a pair ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(small_pair(), crops=True, threads=1)


def pair_of(detector: Detector) -> Pair:
    assert isinstance(detector.model, Pair)
    return detector.model


def combined(pair: Pair, crops: Any, *ways: Any) -> list[float]:
    """p_fake by the definition; the thorough network sees the crops, or all of the ways in which
    they come."""

    def logits(model: Model, seen: Any) -> list[float]:
        return [logit(float(p)) for p in Session(model).run(np.ascontiguousarray(seen))]

    slow = np.mean([logits(pair.thorough, way) for way in ways or (crops,)], 0)
    bias, of_fast, of_slow = pair.combination
    return [
        1 / (1 + math.exp(-(bias + of_fast * f + of_slow * t)))
        for f, t in zip(logits(pair.fast, crops), slow, strict=True)
    ]


def test_a_face_of_a_picture_is_judged_by_both(detector: Detector) -> None:
    picture = photo(60, 80)
    verdict = detector.check(picture)
    crop = resized_crop(picture, whole(picture), (32, 32), "bilinear")
    (expected,) = combined(pair_of(detector), crop, crop, crop[..., ::-1])
    assert expected != combined(pair_of(detector), crop)[0]
    assert verdict.p_fake == pytest.approx(expected, abs=1e-12) and verdict.model == "both"
    (track,) = verdict.tracks
    assert [moment.thorough for moment in track.frames] == [True]
    single = Detector(pair_of(detector).fast, crops=True).check(picture).p_fake
    assert single is not None and abs(single - expected) > 0.01


def test_a_found_face_of_a_picture_is_seen_in_four_ways() -> None:
    detector = Detector(small_pair(), threads=1)
    finder = FaceFinder()
    face = finder.steadied(PORTRAIT, finder.find(PORTRAIT)[0])
    box = square(face, pair_of(detector).framing)
    crop, wider = (
        resized_crop(PORTRAIT, each, (32, 32), "bilinear") for each in (box, scaled(box, WIDER))
    )
    ways = [way for cut in (crop, wider) for way in (cut, cut[..., ::-1])]
    (expected,) = combined(pair_of(detector), crop, *ways)
    assert detector.check(PORTRAIT).tracks[0].p_fake == pytest.approx(expected, abs=1e-9)
    assert expected != combined(pair_of(detector), crop, *ways[:2])[0]


def test_every_face_of_a_picture_is_looked_at() -> None:
    twice = np.concatenate([PORTRAIT, PORTRAIT[:, ::-1] // 2 + 60], axis=1)
    verdict = Detector(small_pair(), threads=1).check(twice)
    assert len(verdict.tracks) == 2
    assert all(moment.thorough for track in verdict.tracks for moment in track.frames)


def test_thresholds_and_size_are_those_of_the_pair() -> None:
    picture = photo(60, 80)
    plain = Detector(small_pair(), crops=True).check(picture)
    assert plain.p_fake is not None
    near = plain.p_fake + 0.01
    for thresholds, word in (
        ({"real": near, "fake": 1}, "real"),
        ({"real": 0, "fake": near}, None),
    ):
        pair = small_pair(thresholds=thresholds, calibration={"spread": 1e-3})
        found = Detector(pair, crops=True).check(picture)
        assert (found.p_fake, found.verdict) == (plain.p_fake, word or "uncertain")
    calibration = {"small_faces": {"below": 120.0, "shift": 2.0}}
    small = Detector(small_pair(calibration=calibration), crops=True).check(picture).p_fake
    assert small is not None
    assert logit(plain.p_fake) - logit(small) == pytest.approx(2 * math.log(2) ** 2, abs=1e-9)
    for key, name, seed in (("fast", "quick", 1), ("thorough", "slow", 2)):
        network = small_detector(name, seed, calibration=calibration)  # of it alone: nobody asks
        same = Detector(small_pair(**{key: network}), crops=True).check(picture)
        assert same.p_fake == plain.p_fake


def test_fast_leaves_the_thorough_one_out(tmp_path: Path) -> None:
    path = saved_pair(small_pair(), tmp_path)
    fast, alone = (
        Detector(path, fast=True, crops=True), Detector(str(tmp_path / "quick.npz"), crops=True),
    )  # fmt: skip
    assert fast.thorough is None and fast.model.name == "quick"
    assert fast.check(photo(60, 80)) == alone.check(photo(60, 80))
    assert Detector(alone.model, fast=True, crops=True).check(photo(60, 80)).model == "quick"
    both = Detector(path, crops=True)
    assert both.thorough is not None and both.thorough.model.name == "slow"
    assert both.session.model.name == "quick" and both.check(photo(60, 80)).model == "both"


def test_a_thorough_network_that_overflows_is_named() -> None:
    graph = Graph("overflow")
    x = graph.node("flatten", graph.input("image", (3, 32, 32)))
    x = graph.node("linear", x, name="infinite", out_features=2)
    x = graph.node("linear", x, name="difference", out_features=1)
    graph.output(graph.node("sigmoid", x))
    weights = {
        "infinite.weight": np.full((2, 3072), 3e38, np.float32) * np.array([[1], [-1]], np.float32),
        "infinite.bias": np.zeros(2, np.float32),
        "difference.weight": np.ones((1, 2), np.float32),
        "difference.bias": np.zeros(1, np.float32),
    }
    framing = {"resample": "bilinear", "side": 2.1}
    model = Model("overflow", graph, weights, framing=framing, thresholds={"real": 0, "fake": 1})
    with pytest.raises(ModelError, match="overflow: p_fake is nan"):
        Detector(small_pair(thorough=model), crops=True).check(photo())


# --- clips and streams -------------------------------------------------------------------


def frames_of(count: int) -> list[Any]:
    """(32, 48, 3) each, all different, some alike."""
    rng = np.random.default_rng(5)
    base = photo(32, 48).astype(int)
    return [
        np.clip(base + rng.integers(-40, 40) + rng.integers(-9, 9, base.shape), 0, 255).astype(
            np.uint8
        )
        for _ in range(count)
    ]


def raw_clip(frames: Sequence[Any], rate: float = 4) -> Any:
    height, width = frames[0].shape[:2]
    return raw_frames(
        io.BytesIO(b"".join(f.tobytes() for f in frames)), (width, height), rate, rate
    )


@pytest.fixture(scope="module")
def big() -> Callable[..., Detector]:
    """Detectors of one pair that find no faces; frames are large enough to be judged."""
    pair = small_pair(combination=Combination(0.1, 0.9, 0.8))

    def make(**options: Any) -> Detector:
        return Detector(pair, crops=True, **options)

    return make


def enlarged(frames: Sequence[Any]) -> list[Any]:
    return [frame.repeat(2, 0).repeat(2, 1) for frame in frames]


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_same_verdict_for_any_number_of_threads(big: Callable[..., Detector], threads: int) -> None:
    """And so for any number of frames that are judged together: half as many as threads."""
    frames = enlarged(frames_of(61))
    expected = big(threads=1).check(raw_clip(frames))
    assert big(threads=threads).check(raw_clip(frames)) == expected
    (track,) = expected.tracks
    assert len(track.frames) == 61
    assert sum(moment.thorough for moment in track.frames) < 40
    looked = [moment for moment in track.frames if moment.thorough]
    assert track.p_fake == pytest.approx(
        1 / (1 + math.exp(-np.mean([logit(m.p_fake) for m in looked]))), abs=1e-9
    )


def test_same_bits_on_every_isa(big: Callable[..., Detector], isa: str) -> None:
    frames = enlarged(frames_of(20))
    found = big(threads=1, isa=isa).check(raw_clip(frames))
    again = big(threads=4, isa=isa).check(raw_clip(frames))
    assert found == again and len(found.tracks[0].frames) == 20


def test_frames_that_were_looked_at_have_both(big: Callable[..., Detector]) -> None:
    detector = big(threads=1)
    frames = enlarged(frames_of(40))
    seen: list[Any] = []
    verdict = detector.check(raw_clip(frames), on_frame=lambda frame, done: seen.append(frame))
    crops = np.stack([frame.faces[0].crop for frame in seen])
    plain, mirrored = (combined(pair_of(detector), crops, way) for way in (crops, crops[..., ::-1]))
    (track,) = verdict.tracks
    looked_at = [n for n, moment in enumerate(track.frames) if moment.thorough]
    assert len(looked_at) > 3
    for number, place in enumerate(looked_at):  # every second one at the mirror image
        expected = (mirrored if number % 2 else plain)[place]
        assert track.frames[place].p_fake == pytest.approx(expected, abs=1e-9)
    data = verdict.to_json()["tracks"][0]["frames"]
    assert [frame["thorough"] for frame in data] == [m.thorough for m in track.frames]


def analyzer_of(detector: Detector, finder: Any = None) -> Analyzer:
    return Analyzer(detector.networks, Rule(detector.model.thresholds or {}), finder)


def finished(analyzer: Analyzer, detector: Detector) -> Any:
    """Its tracks, and what was left out."""
    analyzer.finish()
    return analyzer.findings.tracks(Rule(detector.model.thresholds or {}))


def cropped(analyzer: Analyzer, frames: Sequence[Any], rate: float) -> list[CroppedFrame]:
    return [analyzer.crop_faces(n / rate, frame) for n, frame in enumerate(frames)]


@pytest.mark.parametrize("together", [1, 2, 7, 100])
def test_live_sees_what_a_clip_sees(big: Callable[..., Detector], together: int) -> None:
    """The same looks, as early as they are due: what is said of the person is the same in the end,
    once the last face does not wait any longer."""
    detector = big(threads=1)
    frames = enlarged(frames_of(50))
    stream = list(detector.stream([*frames, frames[0][:8, :8], frames[0][:8, :8]], rate=4))
    analyzer = analyzer_of(detector)
    shown = []
    for few in (
        itertools.batched(cropped(analyzer, frames, 4), together)
        if hasattr(itertools, "batched")
        else [cropped(analyzer, frames, 4)]
    ):
        shown += [seen.faces[0].p_fake for seen in analyzer.judge(few)]
    assert shown == [face.p_fake for face in stream[:50]], "what is shown meanwhile"
    ((track,), _) = finished(analyzer, detector)
    assert (stream[-1].person_p_fake, stream[-1].interval) == (track.p_fake, track.interval)
    assert stream[-1].verdict == track.verdict and stream[-1].reason == "too_small"
    verdict = detector.check(raw_clip(frames))
    assert verdict.tracks[0].frames == track.frames and verdict.p_fake == track.p_fake


def test_the_first_frame_of_a_stream_is_judged_by_both(big: Callable[..., Detector]) -> None:
    detector = big(threads=1)
    (frame,) = enlarged(frames_of(1))
    (face,) = detector.stream([frame])
    ((first,),) = (track.frames for track in detector.check(raw_clip([frame])).tracks)
    assert first.thorough and face.p_fake == first.p_fake


def test_several_persons_one_of_whom_leaves() -> None:
    """Each has his own looks, and who leaves early still gets the look that waits."""
    world = World(
        {
            1: lambda t: (80 + 10 * math.sin(t), 90, 70),
            2: lambda t: (230, 90, 70) if t < 1.2 else None,
        },
        noise=3,
    )
    detector = Detector(small_pair(), threads=1)
    results = []
    for together in (1, 5):
        analyzer = analyzer_of(detector, world)
        waiting: list[CroppedFrame] = []
        for number in range(32):
            t = number / 8
            waiting.append(analyzer.crop_faces(t, world.frame(t)))
            if len(waiting) == together:
                analyzer.judge(waiting)
                waiting = []
        analyzer.judge(waiting)
        results.append(finished(analyzer, detector))
    assert results[0] == results[1]
    tracks, left_out = results[0]
    counts = {len(t.frames): sum(m.thorough for m in t.frames) for t in tracks}
    assert len(tracks) == 2 and not left_out
    assert counts[32] >= 8 and 2 <= counts[min(counts)] <= 5


def test_faces_that_are_found_ahead_of_their_judgement_count_for_nothing() -> None:
    """Frames are searched in a thread of their own: how far it has come by then says nothing of who
    was seen too short to be a person."""
    world = World(
        {1: lambda t: (80, 90, 70), 2: lambda t: (230, 90, 70) if t < 0.1 else None}, noise=3
    )
    detector = Detector(small_pair(), threads=1)
    results = []
    for ahead in (0, 2):
        analyzer = analyzer_of(detector, world)
        frames = [analyzer.crop_faces(n / 25, world.frame(n / 25)) for n in range(5 + ahead)]
        analyzer.judge(frames[:5])
        results.append(analyzer.findings.tracks(Rule(detector.model.thresholds or {})))
    assert results[0] == results[1]
    tracks, left_out = results[0]
    assert len(tracks) == 1 and list(left_out) == ["too_short"]
